data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.region

  # Written from the table in migrator/aws/actions.py, which the code is held to.
  actions = jsondecode(file("${path.module}/actions.json"))
}

# What has to be there before a cluster: made also where `migrator cluster create` makes the cluster itself.
module "ground" {
  source = "./modules/ground"

  name                      = var.name
  account                   = local.account
  partition                 = local.partition
  region                    = local.region
  vpc_id                    = var.vpc_id
  db_subnet_ids             = var.db_subnet_ids
  subnet_group              = var.subnet_group
  security_groups           = var.security_groups
  client_security_group_ids = merge({ for index, id in var.client_security_group_ids : "client-${index}" => id }, { workers = module.workers.security_group_id })
  parameter_group           = var.parameter_group
  parameter_group_family    = "aurora-postgresql${split(".", var.engine_version)[0]}"
  kms_key_id                = var.kms_key_id
  monitoring_role_arn       = var.monitoring_role_arn
  cluster_id                = var.cluster_id
  shard_group_id            = var.shard_group_id
  log_retention_days        = var.log_retention_days
}

module "cluster" {
  source = "./modules/cluster"
  count  = var.manage_cluster ? 1 : 0

  cluster_id                 = var.cluster_id
  shard_group_id             = var.shard_group_id
  engine_version             = var.engine_version
  min_acu                    = var.min_acu
  max_acu                    = var.max_acu
  compute_redundancy         = var.compute_redundancy
  subnet_group               = module.ground.subnet_group
  security_groups            = module.ground.security_groups
  parameter_group            = module.ground.parameter_group
  kms_key_id                 = module.ground.kms_key_id
  monitoring_role_arn        = module.ground.monitoring_role_arn
  monitoring_interval_s      = var.monitoring_interval_s
  master_username            = var.master_username
  master_password            = var.master_password
  master_password_version    = var.master_password_version
  deletion_protection        = var.deletion_protection
  auto_minor_version_upgrade = var.auto_minor_version_upgrade
  backup_retention_days      = var.backup_retention_days
  final_snapshot_id          = "${var.cluster_id}-final"

  # The log groups come first: RDS would make them itself, without an end to what they keep.
  depends_on = [module.ground]
}

module "alarms" {
  source = "./modules/alarms"

  name               = var.name
  account            = local.account
  partition          = local.partition
  kms_key_id         = module.ground.kms_key_id
  cluster_id         = var.cluster_id
  shard_group_id     = var.shard_group_id
  compute_redundancy = var.compute_redundancy
  acu_pct            = var.acu_pct
  webhook_url        = var.alarm_webhook_url
}

module "workers" {
  source = "./modules/workers"

  name                      = var.name
  account                   = local.account
  partition                 = local.partition
  region                    = local.region
  actions                   = local.actions
  vpc_id                    = var.vpc_id
  subnet_ids                = var.worker_subnet_ids
  classic_security_group_id = var.classic_security_group_id
  egress_cidrs              = var.egress_cidrs
  image                     = var.image
  image_repository_arn      = var.image_repository_arn
  cpu_architecture          = var.cpu_architecture
  started                   = var.started
  workers                   = var.workers
  serve                     = var.serve
  kms_key_id                = module.ground.kms_key_id
  secret_key_arns           = var.secret_key_arns
  log_retention_days        = var.log_retention_days
  plan_toml                 = var.plan_toml
  secret_ids                = var.secret_ids
  environment_secrets       = var.environment_secrets
  iam_database_users        = var.iam_database_users
  notify_topic_arns         = var.notify_topic_arns
  cluster_id                = var.cluster_id
  classic_cluster_id        = var.classic_cluster_id
  classic_instance_ids      = var.classic_instance_ids
  release_classic           = var.release_classic
  dossier                   = var.dossier
  dossier_key               = var.dossier_key
  dossier_kms_key_id        = var.dossier_kms_key_id
}

module "operator" {
  source = "./modules/operator"
  count  = var.manage_cluster ? 0 : 1

  name                = var.name
  account             = local.account
  partition           = local.partition
  region              = local.region
  actions             = local.actions
  cluster_id          = var.cluster_id
  kms_key_id          = module.ground.kms_key_id
  monitoring_role_arn = module.ground.monitoring_role_arn
}
