"""What is looked at before dual write and before the point of no return: versions, AWS, and who else uses classic."""
