"""What CloudWatch, Alertmanager, Datadog and PagerDuty send, each in a module of its own."""
