"""What Limitless costs against the projection, how full its shards are, and which tenants fill them."""
