package migrations

// newestKeys makes the primary key of each empty table of PostgreSQL the newest of
// the table's indexes. Of indexes that it believes to cost the same, PostgreSQL takes
// the newest, and until a table has statistics that may be one that only begins with
// the tenant. A prepared statement keeps to it while the tenant's rows grow. Tables
// with rows have statistics, or get them within a minute.
const newestKeys = `DO $$
DECLARE
	t RECORD; f RECORD; filled BOOLEAN; later TEXT[];
BEGIN
	FOR t IN
		SELECT c.conrelid::regclass AS name, c.conname AS key, pg_get_constraintdef(c.oid) AS definition
		FROM pg_constraint c
		WHERE c.connamespace = current_schema()::regnamespace AND c.contype = 'p'
			AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indexrelid > c.conindid)
	LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s)', t.name) INTO filled;
		CONTINUE WHEN filled;
		later := '{}';
		FOR f IN
			SELECT conrelid::regclass AS name, conname AS key, pg_get_constraintdef(oid) AS definition
			FROM pg_constraint WHERE contype = 'f' AND confrelid = t.name
		LOOP
			later := later || format('ALTER TABLE %s ADD CONSTRAINT %I %s', f.name, f.key, f.definition);
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', f.name, f.key);
		END LOOP;
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', t.name, t.key, t.key, t.definition);
		FOR i IN 1 .. cardinality(later) LOOP
			EXECUTE later[i];
		END LOOP;
	END LOOP;
END
$$`
