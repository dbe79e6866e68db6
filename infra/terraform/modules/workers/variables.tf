variable "name" { type = string }
variable "account" { type = string }
variable "partition" { type = string }
variable "region" { type = string }
variable "actions" { type = map(list(string)) }
variable "vpc_id" { type = string }
variable "subnet_ids" { type = list(string) }
variable "classic_security_group_id" { type = string }
variable "egress_cidrs" { type = list(string) }
variable "image" { type = string }
variable "image_repository_arn" { type = string }
variable "cpu_architecture" { type = string }
variable "started" { type = bool }

variable "workers" {
  type = map(object({
    queues = list(string)
    count  = number
    cpu    = number
    memory = number
  }))
}

variable "serve" {
  type = object({
    host                = string
    certificate_arn     = string
    subnet_ids          = list(string)
    internal            = bool
    allowed_cidrs       = list(string)
    environment_secrets = list(string)
    cpu                 = number
    memory              = number
  })
}

variable "kms_key_id" { type = string }
variable "secret_key_arns" { type = list(string) }
variable "log_retention_days" { type = number }
variable "plan_toml" { type = string }
variable "secret_ids" { type = list(string) }
variable "environment_secrets" { type = list(string) }
variable "iam_database_users" { type = list(string) }
variable "notify_topic_arns" { type = list(string) }
variable "cluster_id" { type = string }
variable "classic_cluster_id" { type = string }
variable "classic_instance_ids" { type = list(string) }
variable "release_classic" { type = bool }
variable "dossier" { type = string }
variable "dossier_key" { type = string }
variable "dossier_kms_key_id" { type = string }
