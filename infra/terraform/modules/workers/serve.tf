# The board, and the webhook for alarms, behind a load balancer that speaks TLS.

locals {
  serves = var.serve == null ? {} : { serve = var.serve }
}

resource "aws_security_group" "balancer" {
  for_each = local.serves

  name        = "${var.name}-balancer"
  description = "Load balancer of the board of migration ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = toset(var.serve == null ? [] : var.serve.allowed_cidrs)

  security_group_id = aws_security_group.balancer["serve"].id
  description       = "People and alarms"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = local.serves

  security_group_id            = aws_security_group.balancer["serve"].id
  description                  = "The board"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = local.serve_port
  to_port                      = local.serve_port
}

resource "aws_vpc_security_group_ingress_rule" "serve" {
  for_each = local.serves

  security_group_id            = aws_security_group.this.id
  description                  = "The load balancer"
  referenced_security_group_id = aws_security_group.balancer["serve"].id
  ip_protocol                  = "tcp"
  from_port                    = local.serve_port
  to_port                      = local.serve_port
}

resource "aws_lb" "serve" {
  for_each = local.serves

  name                       = substr("${var.name}-board", 0, 32)
  internal                   = each.value.internal
  load_balancer_type         = "application"
  subnets                    = each.value.subnet_ids
  security_groups            = [aws_security_group.balancer["serve"].id]
  enable_deletion_protection = true
  drop_invalid_header_fields = true
}

resource "aws_lb_target_group" "serve" {
  for_each = local.serves

  name        = substr("${var.name}-board", 0, 32)
  port        = local.serve_port
  protocol    = "HTTP"
  target_type = "ip"
  vpc_id      = var.vpc_id

  health_check {
    path    = "/health"
    matcher = "200"
  }
}

resource "aws_lb_listener" "serve" {
  for_each = local.serves

  load_balancer_arn = aws_lb.serve["serve"].arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = each.value.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.serve["serve"].arn
  }
}

resource "aws_ecs_task_definition" "serve" {
  for_each = local.serves

  family                   = "${var.name}-serve"
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
      name         = "serve"
      command      = ["serve", "--host", "0.0.0.0", "--port", tostring(local.serve_port), "--origin", "https://${each.value.host}"]
      portMappings = [{ containerPort = local.serve_port, protocol = "tcp" }]
      secrets      = [for name in setunion(var.environment_secrets, each.value.environment_secrets) : local.secrets[name]]
    }),
  ])
}

resource "aws_ecs_service" "serve" {
  for_each = local.serves

  name                               = "serve"
  cluster                            = aws_ecs_cluster.this.arn
  task_definition                    = aws_ecs_task_definition.serve["serve"].arn
  desired_count                      = var.started ? 1 : 0
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.serve["serve"].arn
    container_name   = "serve"
    container_port   = local.serve_port
  }

  depends_on = [aws_lb_listener.serve]
}
