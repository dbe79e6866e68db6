# What belongs into the plan, and what people ask for.

output "aws" {
  description = "Values for the plan's section [aws], where `migrator cluster create` makes the cluster."
  value = {
    subnet_group        = module.ground.subnet_group
    security_groups     = module.ground.security_groups
    parameter_group     = module.ground.parameter_group
    kms_key_id          = module.ground.kms_key_id
    monitoring_role_arn = module.ground.monitoring_role_arn
  }
}

output "limitless_endpoint" {
  description = "Host for Limitless' connection string, database postgres_limitless; null while Terraform makes no cluster."
  value       = one(module.cluster[*].endpoint)
}

output "environment_secrets" {
  description = "ARN of the secret to fill for each variable that the plan names as env:NAME."
  value       = module.workers.environment_secrets
}

output "task_role_arn" {
  description = "Role of workers and board, for grants of your own."
  value       = module.workers.task_role_arn
}

output "worker_security_group_id" {
  description = "Security group of workers and board: classic and Temporal let it in."
  value       = module.workers.security_group_id
}

output "alarm_topic_arn" {
  description = "Topic of the alarms, for alarms.cloudwatch.topics in the plan."
  value       = module.alarms.topic_arn
}

output "board_dns_name" {
  description = "Where serve.host points to; null without a board."
  value       = module.workers.board_dns_name
}

output "cluster_operator_policy_arn" {
  description = "Policy for whoever runs `migrator cluster`; null where Terraform makes the cluster."
  value       = one(module.operator[*].policy_arn)
}
