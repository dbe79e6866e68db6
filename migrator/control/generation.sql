-- Statements of generation.py: which copies there are. Each finds (tenant or NULL, number).

-- name: of_tenants
SELECT tenant_id, generation FROM migrator.tenant WHERE tenant_id = ANY (%(tenants)s);

-- name: of_reference
SELECT NULL, max(generation) FROM migrator.copy_unit WHERE part = 0 AND NOT superseded;
