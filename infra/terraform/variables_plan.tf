# What the plan says. `migrator plan terraform` writes these into terraform.tfvars.json, `--check` compares.
# Do not set them by hand: the same plan is what the workers run by.

variable "name" {
  description = "Name of the migration; everything made is named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,40}$", var.name))
    error_message = "A plan's name is lower-case letters, digits and dashes, at most 41."
  }
}

variable "region" {
  description = "AWS Region (aws.region); null: the environment's."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything made: project, owner, plan, and who manages it."
  type        = map(string)
}

variable "manage_cluster" {
  description = "Whether Terraform makes the Limitless cluster (aws.managed_by); else `migrator cluster create` does."
  type        = bool
}

variable "cluster_id" {
  description = "Identifier of the Limitless cluster (limitless.cluster_id)."
  type        = string
}

variable "shard_group_id" {
  description = "Identifier of its shard group (limitless.shard_group_id)."
  type        = string
}

variable "engine_version" {
  description = "Engine of the cluster (limitless.engine_version)."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+[.][0-9]+([.][0-9]+)?-limitless$", var.engine_version))
    error_message = "A Limitless engine's version ends in -limitless, for example 16.13-limitless."
  }
}

variable "min_acu" {
  description = "Smallest capacity of the shard group, in ACU."
  type        = number

  validation {
    condition     = var.min_acu >= 16
    error_message = "AWS: at least 16 ACU."
  }
}

variable "max_acu" {
  description = "Largest capacity, in ACU; at creation it also fixes the number of routers and shards."
  type        = number

  validation {
    condition     = var.max_acu >= var.min_acu && var.max_acu <= 6144
    error_message = "AWS: at most 6144 ACU, and no less than min_acu."
  }
}

variable "compute_redundancy" {
  description = "Standbys per shard: 0, 1 or 2. 99.99 % needs at least 1."
  type        = number

  validation {
    condition     = contains([0, 1, 2], var.compute_redundancy)
    error_message = "Standbys per shard are 0, 1 or 2."
  }
}

variable "subnet_group" {
  description = "DB subnet group that exists already (aws.subnet_group); null: one is made of db_subnet_ids."
  type        = string
  default     = null
}

variable "security_groups" {
  description = "Security groups of the cluster that exist already (aws.security_groups); none: one is made."
  type        = list(string)
  default     = []
}

variable "parameter_group" {
  description = "DB cluster parameter group that exists already (aws.parameter_group); null: one is made."
  type        = string
  default     = null
}

variable "kms_key_id" {
  description = "ARN of a key that exists already (aws.kms_key_id); null: one is made."
  type        = string
  default     = null
}

variable "monitoring_role_arn" {
  description = "Role of Enhanced Monitoring that exists already (aws.monitoring_role_arn); null: one is made."
  type        = string
  default     = null
}

variable "monitoring_interval_s" {
  description = "Seconds between two looks of Enhanced Monitoring."
  type        = number
}

variable "master_username" {
  description = "Master user of the cluster."
  type        = string
}

variable "deletion_protection" {
  description = "AWS refuses to delete the cluster while this is true."
  type        = bool
}

variable "auto_minor_version_upgrade" {
  description = "AWS upgrades minor versions by itself."
  type        = bool
}

variable "backup_retention_days" {
  description = "Days that AWS keeps automated backups."
  type        = number
}

variable "classic_cluster_id" {
  description = "Identifier of classic (classic.cluster_id); Terraform never touches it. null: workers may not ask AWS about it."
  type        = string
  default     = null
}

variable "release_classic" {
  description = "Whether the decommission snapshots and deletes classic (decommission.release_classic): workers then may."
  type        = bool
}

variable "acu_pct" {
  description = "Use of the largest capacity, in percent, that an alarm reports (pace.acu_pct)."
  type        = number
}

variable "dossier" {
  description = "Where the dossier is kept, s3://BUCKET/PREFIX (decommission.dossier); null: not in S3."
  type        = string
  default     = null
}

variable "dossier_key" {
  description = "Key of KMS that signs it, an ARN, an id or alias/NAME (decommission.dossier_key); null: none of KMS."
  type        = string
  default     = null
}

variable "dossier_kms_key_id" {
  description = "Key of KMS that encrypts it (decommission.dossier_kms_key_id); null: the bucket's."
  type        = string
  default     = null
}

variable "secret_ids" {
  description = "Secrets that the plan names as aws-secret:ID; workers read them themselves, again after a rotation."
  type        = list(string)
}

variable "environment_secrets" {
  description = "Variables that the plan names as env:NAME; each is a secret that ECS hands over when a task starts."
  type        = list(string)
}

variable "iam_database_users" {
  description = "Users of databases whom workers get tokens of IAM for (rds-iam:…); * where the plan does not tell."
  type        = list(string)
}

variable "notify_topic_arns" {
  description = "SNS topics that the plan notifies."
  type        = list(string)
}

variable "plan_toml" {
  description = "The plan itself, without what is a default. It holds references to secrets, never a secret."
  type        = string
}
