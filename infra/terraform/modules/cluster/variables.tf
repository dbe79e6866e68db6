variable "cluster_id" { type = string }
variable "shard_group_id" { type = string }
variable "engine_version" { type = string }
variable "min_acu" { type = number }
variable "max_acu" { type = number }
variable "compute_redundancy" { type = number }
variable "subnet_group" { type = string }
variable "security_groups" { type = list(string) }
variable "parameter_group" { type = string }
variable "kms_key_id" { type = string }
variable "monitoring_role_arn" { type = string }
variable "monitoring_interval_s" { type = number }
variable "master_username" { type = string }

variable "master_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "master_password_version" { type = number }
variable "deletion_protection" { type = bool }
variable "auto_minor_version_upgrade" { type = bool }
variable "backup_retention_days" { type = number }
variable "final_snapshot_id" { type = string }
