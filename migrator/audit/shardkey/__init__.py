"""Which shards does a statement ask? Follows the tenant key through one statement."""
