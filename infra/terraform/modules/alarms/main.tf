# Alarms of Limitless itself. What one does when it reaches the webhook, the plan says ([alarms], docs/alarms.md);
# what applications feel, the guard measures: no metric of AWS tells the latency of a router.

resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_id
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndEvents"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.this.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "webhook" {
  count = var.webhook_url == null ? 0 : 1

  topic_arn = aws_sns_topic.this.arn
  protocol  = "https"
  endpoint  = var.webhook_url
  # `migrator serve` confirms it by itself once the plan's alarms.cloudwatch.topics names the topic.
  endpoint_auto_confirms = true
}

resource "aws_cloudwatch_metric_alarm" "acu" {
  alarm_name          = "${var.name}-limitless-acu"
  alarm_description   = "Limitless uses ${var.acu_pct} % of its largest capacity: raise limitless.max_acu, or hold the next wave."
  namespace           = "AWS/RDS"
  metric_name         = "DBShardGroupACUUtilization"
  dimensions          = { DBShardGroupIdentifier = var.shard_group_id }
  statistic           = "Average"
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = 8
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.acu_pct
  # No figure is the next alarm's business.
  treat_missing_data = "missing"
  alarm_actions      = [aws_sns_topic.this.arn]
  ok_actions         = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_metric_alarm" "silent" {
  alarm_name          = "${var.name}-limitless-silent"
  alarm_description   = "The shard group has reported no capacity for ten minutes: is it there, is it available?"
  namespace           = "AWS/RDS"
  metric_name         = "DBShardGroupCapacity"
  dimensions          = { DBShardGroupIdentifier = var.shard_group_id }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = 10
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = 0
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_metric_alarm" "standbys" {
  count = var.compute_redundancy > 0 ? 1 : 0

  alarm_name          = "${var.name}-limitless-standbys"
  alarm_description   = "No standby of a shard has reported capacity for ten minutes: the next failure of a shard is felt."
  namespace           = "AWS/RDS"
  metric_name         = "DBShardGroupComputeRedundancyCapacity"
  dimensions          = { DBShardGroupIdentifier = var.shard_group_id }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = 10
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = 0
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}

# Failures and maintenance of the cluster, as RDS tells them; the webhook answers only to alarms, people read these.
resource "aws_db_event_subscription" "cluster" {
  name             = "${var.name}-limitless"
  sns_topic        = aws_sns_topic.this.arn
  source_type      = "db-cluster"
  source_ids       = [var.cluster_id]
  event_categories = ["failover", "failure", "maintenance", "notification"]
}
