"""Units, chart and task definitions: what each tool that reads them says of them."""
