locals {
  serve_port   = 8099
  metrics_port = 9464
  names        = toset(concat(var.environment_secrets, var.serve == null ? [] : var.serve.environment_secrets))

  # The plan reaches a task as text and becomes a file before its process begins: a plan holds no secret.
  prepare = {
    name                   = "plan"
    image                  = var.image
    essential              = false
    readonlyRootFilesystem = true
    entryPoint             = ["python3", "-c"]
    command = [join("\n", [
      "import base64, os, pathlib",
      "state = pathlib.Path('/state')",
      "(state / 'tmp').mkdir(exist_ok=True)",
      "(state / 'plan.toml').write_bytes(base64.b64decode(os.environ['PLAN_BASE64']))",
    ])]
    environment      = [{ name = "PLAN_BASE64", value = base64encode(var.plan_toml) }]
    mountPoints      = [{ sourceVolume = "state", containerPath = "/state", readOnly = false }]
    logConfiguration = local.logs
  }

  logs = {
    logDriver = "awslogs"
    options = {
      "awslogs-group"         = aws_cloudwatch_log_group.this.name
      "awslogs-region"        = var.region
      "awslogs-stream-prefix" = "migrator"
    }
  }

  # What every process of the tool has in common.
  process = {
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    dependsOn              = [{ containerName = "plan", condition = "SUCCESS" }]
    user                   = "10001"
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    stopTimeout            = 60 # activities hand over within 20 s
    mountPoints            = [{ sourceVolume = "state", containerPath = "/state", readOnly = false }]
    logConfiguration       = local.logs
    environment = [
      { name = "AWS_DEFAULT_REGION", value = var.region },
      { name = "HOME", value = "/state" },
      { name = "MIGRATOR_HOME", value = "/state" },
      { name = "MIGRATOR_LOG_FORMAT", value = "json" },
      { name = "MIGRATOR_PLAN", value = "/state/plan.toml" },
      { name = "TMPDIR", value = "/state/tmp" },
    ]
  }

  secrets = {
    for name in local.names : name => { name = name, valueFrom = aws_secretsmanager_secret.environment[name].arn }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/migrator/${var.name}"
  retention_in_days = var.log_retention_days
}

# Their values are set by a person or by a rotation, never by Terraform: what it sets is in its state.
resource "aws_secretsmanager_secret" "environment" {
  for_each = local.names

  name                    = "${var.name}/${each.value}"
  description             = "${each.value} of migration ${var.name}"
  kms_key_id              = var.kms_key_id
  recovery_window_in_days = 30
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-workers"
  description = "Workers and board of migration ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = toset(var.egress_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "Temporal, the APIs of AWS, both clusters"
  cidr_ipv4         = each.value
  ip_protocol       = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "classic" {
  count = var.classic_security_group_id == null ? 0 : 1

  security_group_id            = var.classic_security_group_id
  description                  = "Workers of migration ${var.name}"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_ecs_task_definition" "worker" {
  for_each = var.workers

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(each.value.cpu)
  memory                   = tostring(each.value.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  volume {
    name = "state"
  }

  container_definitions = jsonencode([
    local.prepare,
    merge(local.process, {
      name    = "worker"
      command = ["worker", "--queues", join(",", each.value.queues), "--metrics", "0.0.0.0:${local.metrics_port}"]
      # Whether it lives, as in deploy/ecs: not whether Temporal or classic answer, which a new worker would not change.
      healthCheck = {
        command     = ["CMD", "python", "-c", "import socket; socket.create_connection(('127.0.0.1', ${local.metrics_port}), 2)"]
        interval    = 30
        timeout     = 5
        retries     = 3
        startPeriod = 180
      }
      secrets = [for name in var.environment_secrets : local.secrets[name]]
    }),
  ])
}

resource "aws_ecs_service" "worker" {
  for_each = var.workers

  name            = each.key
  cluster         = aws_ecs_cluster.this.arn
  task_definition = aws_ecs_task_definition.worker[each.key].arn
  desired_count   = var.started ? each.value.count : 0
  launch_type     = "FARGATE"
  propagate_tags  = "SERVICE"

  # New workers come before old ones go; what an old one was doing is done again by another.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }
}
