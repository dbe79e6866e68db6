variable "name" { type = string }
variable "account" { type = string }
variable "partition" { type = string }
variable "region" { type = string }
variable "actions" { type = map(list(string)) }
variable "cluster_id" { type = string }
variable "kms_key_id" { type = string }
variable "monitoring_role_arn" { type = string }
