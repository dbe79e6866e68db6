# What the plan does not say: the network and the image. Set these in a file of your own, for example site.auto.tfvars.

variable "vpc_id" {
  description = "VPC of the cluster, the workers and the board."
  type        = string
}

variable "db_subnet_ids" {
  description = "Private subnets of the cluster, in as many availability zones as there are standbys per shard, and one more."
  type        = list(string)
  default     = []

  validation {
    condition     = var.subnet_group != null || length(var.db_subnet_ids) >= max(2, var.compute_redundancy + 1)
    error_message = "Name db_subnet_ids in one availability zone more than standbys per shard, at least two (or aws.subnet_group in the plan)."
  }
}

variable "worker_subnet_ids" {
  description = "Subnets of workers and board; from there AWS' APIs, Temporal and both clusters are reached."
  type        = list(string)

  validation {
    condition     = length(var.worker_subnet_ids) >= 2
    error_message = "Name subnets in at least two availability zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups of the applications, which reach Limitless."
  type        = list(string)
  default     = []
}

variable "classic_security_group_id" {
  description = "Security group of classic; workers are let in. null: somebody else lets them in."
  type        = string
  default     = null
}

variable "master_password" {
  description = "Password of the master user: TF_VAR_master_password. It is in no plan file and in no state. Needed only when Terraform makes the cluster."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "master_password_version" {
  description = "Raise it to set master_password again."
  type        = number
  default     = 1
}

variable "image" {
  description = "Image of this release, by digest: repository@sha256:…"
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest (…@sha256:…): a tag may be another image tomorrow."
  }
}

variable "image_repository_arn" {
  description = "ARN of the image's ECR repository; null: the image is pulled without rights of AWS."
  type        = string
  default     = null
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64, as the image is."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "Fargate has X86_64 and ARM64."
  }
}

variable "workers" {
  description = "Workers by name: which task queues they serve, how many there are, their CPU units and MiB of memory."
  type = map(object({
    queues = list(string)
    count  = number
    cpu    = number
    memory = number
  }))
  default = {
    # Copies never take the room of a rollback: docs/reliability.md.
    control = { queues = ["incident", "control"], count = 2, cpu = 512, memory = 1024 }
    data    = { queues = ["mirror", "bulk"], count = 2, cpu = 2048, memory = 4096 }
  }

  validation {
    condition = alltrue([
      for worker in values(var.workers) :
      length(worker.queues) > 0 && length(setsubtract(worker.queues, ["incident", "control", "mirror", "bulk"])) == 0
    ])
    error_message = "Queues are incident, control, mirror and bulk."
  }

  validation {
    condition     = length(setsubtract(["incident", "control", "mirror", "bulk"], flatten([for worker in values(var.workers) : worker.queues if worker.count > 0]))) == 0
    error_message = "Every queue needs a worker: incident, control, mirror and bulk."
  }
}

variable "serve" {
  description = "The board, and how it is reached; null: none. certificate_arn: of the load balancer's certificate, for host; environment_secrets: tokens that it alone has, such as MIGRATOR_BOARD_TOKEN."
  type = object({
    host                = string
    certificate_arn     = string
    subnet_ids          = list(string)
    internal            = bool
    allowed_cidrs       = list(string)
    environment_secrets = optional(list(string), [])
    cpu                 = optional(number, 512)
    memory              = optional(number, 1024)
  })
  default = null
}

variable "alarm_webhook_url" {
  description = "Where the alarms' topic delivers: https://HOST/… of `migrator serve` (docs/alarms.md); null: subscribe somebody yourself."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_webhook_url == null || can(regex("^https://", var.alarm_webhook_url))
    error_message = "The webhook is reached by https."
  }
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps logs of workers and cluster."
  type        = number
  default     = 90
}

variable "egress_cidrs" {
  description = "Where workers may go: Temporal, AWS' APIs, both clusters."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "started" {
  description = "Whether tasks run: false for the first apply, until the secrets that it makes have values."
  type        = bool
  default     = true
}

variable "secret_key_arns" {
  description = "KMS keys of secrets that the plan names as aws-secret:ID, where it is another than the cluster's."
  type        = list(string)
  default     = []
}

variable "classic_instance_ids" {
  description = "Instances of classic, which the decommission deletes: workers may delete these and no others."
  type        = list(string)
  default     = []

  validation {
    condition     = !var.release_classic || var.classic_cluster_id == null || length(var.classic_instance_ids) > 0
    error_message = "The plan has the decommission delete classic: name its instances, or set decommission.release_classic = false."
  }
}
