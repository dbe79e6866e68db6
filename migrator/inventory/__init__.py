"""Is everything in the migrated schemas captured, mirrored and provisioned, and if not, what is it?"""
