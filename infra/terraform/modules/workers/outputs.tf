output "security_group_id" {
  value = aws_security_group.this.id
}

output "task_role_arn" {
  value = aws_iam_role.task.arn
}

output "environment_secrets" {
  value = { for name, secret in aws_secretsmanager_secret.environment : name => secret.arn }
}

output "board_dns_name" {
  value = one(values(aws_lb.serve)[*].dns_name)
}
