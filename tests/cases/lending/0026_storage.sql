-- expected: applied
ALTER TABLE loan SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE note ALTER COLUMN body SET STATISTICS 500;
ANALYZE loan;
