-- The Limitless stand-in: schema rds_aurora.
CREATE SCHEMA rds_aurora;
CREATE TABLE rds_aurora.standin_subcluster (
    subcluster_id   text PRIMARY KEY,
    subcluster_type text NOT NULL
);
CREATE VIEW rds_aurora.limitless_subclusters AS SELECT subcluster_id, subcluster_type FROM rds_aurora.standin_subcluster;
GRANT USAGE ON SCHEMA rds_aurora TO PUBLIC;
GRANT SELECT ON rds_aurora.limitless_subclusters TO PUBLIC;
