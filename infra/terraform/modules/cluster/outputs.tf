output "endpoint" {
  value = aws_rds_cluster.this.endpoint
}
