"""Groups of checks, one file each with CHECKS and its place in the ORDER; migrator.doctor.check finds them."""
