package main

import (
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// ownKeys is command without the keys in the environment, which the server makes.
func ownKeys(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_TENANT_ID=", "AUTHSIGNAL_API_SECRET_KEY=", "AUTHSIGNAL_ENCRYPTION_KEY=")
	return cmd
}

// printed returns what a command prints, which must succeed.
func printed(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *process) enrolledUser(user string) bool {
	p.t.Helper()
	list, err := p.client.Authenticators(p.t.Context(), user)
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list) == 1
}

// backedUp starts a server on a database in a folder, and makes a backup of it between
// the enrollments of the users before and after.
func backedUp(t *testing.T, dir string) (db, backup string, p *process) {
	t.Helper()
	db, backup = filepath.Join(dir, "a.db"), filepath.Join(dir, "backup.db")
	p = start(t, db)
	f := &fleet{t: t, processes: []*process{p}}
	f.enrolled("before")
	printed(t, command(t, "-db", db, "backup", backup))
	f.enrolled("after")
	return db, backup, p
}

// A backup that is copied over the file of a server that was killed has the server's
// log beside it: it is refused, and the command restore puts it in place.
func TestABackupOverTheFileOfAKilledServer(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	dir := t.TempDir()
	db, backup, p := backedUp(t, dir)
	if got := fails(t, command(t, "-db", db, "restore", backup)); !strings.Contains(got, "stop the server first") {
		t.Errorf("beside a server: got %s", got)
	}
	kill(t, p)
	copyFile(t, backup, db)
	for _, args := range [][]string{{}, {"check"}, {"portal-password"}, {"rotate-key"}, {"backup", filepath.Join(dir, "x")}, {"delete-tenant", "t1"}} {
		got := fails(t, command(t, append([]string{"-addr", "127.0.0.1:0", "-dev", "-db", db}, args...)...))
		if !strings.Contains(got, "write-ahead log") || !strings.Contains(got, "restore FILE") {
			t.Errorf("%q: got %s", args, got)
		}
	}
	if got := printed(t, command(t, "-db", db, "restore", backup)); !strings.Contains(got, "kept as "+db+".before-restore-") {
		t.Errorf("got %s", got)
	}
	checked(t, db)
	p = start(t, db)
	if !p.enrolledUser("before") || p.enrolledUser("after") {
		t.Error("the database is not that of the backup")
	}
}

// A restore is killed again and again: the database is the one before or the backup,
// and the server starts on it.
func TestARestoreIsKilled(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	dir := t.TempDir()
	db, backup, p := backedUp(t, dir)
	kill(t, p)
	began := time.Now()
	printed(t, command(t, "-db", filepath.Join(dir, "other.db"), "restore", backup))
	takes := time.Since(began)
	const kills = 8
	for i := range kills {
		cmd := command(t, "-db", db, "restore", backup)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(takes*time.Duration(i+1)/kills, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		p := start(t, db)
		if restored := !p.enrolledUser("after"); !p.enrolledUser("before") || err == nil && !restored {
			t.Errorf("kill %d, %v: restored %v", i, err, restored)
		}
		checked(t, db)
		kill(t, p)
		if err == nil { // later ones come too late as well
			break
		}
	}
}

// A file that was copied while a server used it is served only if it is whole.
func TestACopyOfADatabaseInUse(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	dir := t.TempDir()
	db, copied := filepath.Join(dir, "a.db"), filepath.Join(dir, "copy.db")
	p := start(t, db)
	f := &fleet{t: t, processes: []*process{p}}
	f.enrolled("u1")
	copyFile(t, db, copied) // what was enrolled is in the log
	stop(t, p)
	p = start(t, db)
	kill(t, p)

	elsewhere := start(t, copied)
	stop(t, elsewhere)
	if log := elsewhere.stderr.String(); !strings.Contains(log, "its newest changes may be missing") {
		t.Errorf("the log: %s", log)
	}
	b, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[len(b)/2 : len(b)/2+4096])
	damaged := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(damaged, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", damaged)); !strings.Contains(got, "damaged") && !strings.Contains(got, "malformed") {
		t.Errorf("a damaged copy: got %s", got)
	}
}

// A folder that was copied while a server used it can have a file of several times
// beside its log: the server stops.
func TestAFolderThatWasCopiedInUse(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	dir := t.TempDir()
	db := filepath.Join(dir, "a.db")
	p := start(t, db)
	(&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	stop(t, p) // all is in the file
	p = start(t, db)
	p.track("u2", "k")
	kill(t, p)
	// A page of an index that no start reads.
	file, err := sql.Open("sqlite", "file:"+db+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	var page int64
	err = file.QueryRow(`SELECT rootpage FROM sqlite_schema WHERE name = 'actions_device'`).Scan(&page)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[(page-1)*4096 : page*4096])
	if err := os.WriteFile(db, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", db)); !strings.Contains(got, "is damaged, as by a copy that was made while a server used it") {
		t.Errorf("got %s", got)
	}
}

// A server does not start on a missing or empty database if there was one, whether
// its keys are in a file or in the environment; nor does a command.
func TestNoEmptyDatabaseWhereThereWasOne(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	for name, keys := range map[string]func(*testing.T, ...string) *exec.Cmd{"own keys": ownKeys, "given keys": command} {
		for _, empty := range []string{"missing", "empty"} {
			t.Run(name+", "+empty, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				db, file := filepath.Join(dir, "a.db"), filepath.Join(dir, "config.yaml")
				if err := os.WriteFile(file, []byte("tenants: [{tenantId: t2}]\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				stop(t, startCommand(t, keys(t, "-addr", "127.0.0.1:0", "-db", db)))
				remove := os.Remove
				if empty == "empty" {
					remove = func(path string) error { return os.Truncate(path, 0) }
				}
				if err := remove(db); err != nil {
					t.Fatal(err)
				}
				for _, args := range [][]string{
					{}, {"apply", file}, {"portal-password"}, {"rotate-key"}, {"check"}, {"delete-tenant", "t1"}, {"backup", filepath.Join(dir, "x")}, {},
				} {
					if got := fails(t, keys(t, append([]string{"-addr", "127.0.0.1:0", "-db", db}, args...)...)); !strings.Contains(got, "missing or empty") && !strings.Contains(got, "no such file") {
						t.Errorf("%q: got %s", args, got)
					}
				}
				if info, err := os.Stat(db); empty == "missing" && err == nil || empty == "empty" && info.Size() != 0 {
					t.Errorf("the database was made")
				}
			})
		}
	}
}

// The keys alone were restored.
func TestKeysWithoutTheirDatabase(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	dir := t.TempDir()
	db, elsewhere := filepath.Join(dir, "a.db"), filepath.Join(t.TempDir(), "a.db")
	p := startCommand(t, ownKeys(t, "-addr", "127.0.0.1:0", "-db", db))
	backup := filepath.Join(dir, "backup.db")
	printed(t, ownKeys(t, "-db", db, "backup", backup))
	stop(t, p)
	copyFile(t, db+".keys.json", elsewhere+".keys.json")
	got := fails(t, ownKeys(t, "-addr", "127.0.0.1:0", "-db", elsewhere))
	if !strings.Contains(got, "missing or empty") || !strings.Contains(got, elsewhere+".keys.json") {
		t.Errorf("got %s", got)
	}
	if got := printed(t, ownKeys(t, "-db", elsewhere, "restore", backup)); !strings.Contains(got, "there was no database before") {
		t.Errorf("got %s", got)
	}
	stop(t, startCommand(t, ownKeys(t, "-addr", "127.0.0.1:0", "-db", elsewhere)))
}

// A first start that was interrupted between the keys and the database goes on.
func TestAFirstStartThatWasInterrupted(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	db := filepath.Join(t.TempDir(), "a.db")
	const keys = `{"tenantId": "t1", "apiSecretKey": "test-secret-key-of-32-characters-1", "encryptionKey": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}`
	for path, content := range map[string]string{db: "", db + ".keys.json": keys} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, startCommand(t, ownKeys(t, "-addr", "127.0.0.1:0", "-db", db)))
}

func TestADatabaseThatMustExist(t *testing.T) {
	t.Parallel()
	db := storetest.Empty(t)
	cmd := command(t, "-addr", "127.0.0.1:0", "-db", db, "-db-must-exist")
	if got := fails(t, cmd); !strings.Contains(got, "-db-must-exist") && !strings.Contains(got, "no such file") {
		t.Errorf("got %s", got)
	}
	stop(t, start(t, db))
	cmd = command(t, "-addr", "127.0.0.1:0", "-db", db)
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_DB_MUST_EXIST=true")
	stop(t, startCommand(t, cmd))
}

// A dump of PostgreSQL's own tools, taken while a server runs, is restored in a new
// database as docs/operate.md says.
func TestADumpOfPostgreSQLIsRestored(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite has the command restore
	}
	db, restored := storetest.Empty(t), storetest.Empty(t)
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "authsignal-server")); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Restoring on PostgreSQL\n")
	section, _, _ = strings.Cut(section, "\n## ")
	// runs executes the line of the page that begins with a text.
	runs := func(begin, db string) {
		t.Helper()
		i := strings.Index(section, "\n"+begin)
		if i < 0 {
			t.Fatalf("the page has no line %q", begin)
		}
		line, _, _ := strings.Cut(section[i+1:], "\n")
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
		cmd.Dir, cmd.Env = dir, append(command(t).Env, "AUTHSIGNAL_DB="+db, "PATH="+dir+":"+os.Getenv("PATH"))
		printed(t, cmd)
	}
	p := start(t, db)
	f := &fleet{t: t, processes: []*process{p}}
	secret := f.enrolled("before")
	code := codeAt(secret, 1)
	if !p.verify(p.track("before", "k").Token, code) {
		t.Fatal("the code was refused")
	}
	if got := fails(t, command(t, "-db", db, "restore", "authsignal.dump")); !strings.Contains(got, "pg_restore") {
		t.Errorf("the command restore: got %s", got)
	}
	runs("pg_dump ", db)
	f.enrolled("after")
	stop(t, p)
	runs("pg_restore ", restored)
	runs("authsignal-server check", restored)
	cmd := command(t, "-db", restored, "check")
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_ENCRYPTION_KEY=CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=")
	if got := fails(t, cmd); !strings.Contains(got, "findings") {
		t.Errorf("with another key: got %s", got)
	}
	p = start(t, restored, "-db-must-exist")
	if !p.enrolledUser("before") || p.enrolledUser("after") {
		t.Error("the database is not that of the dump")
	}
	if p.verify(p.track("before", "k2").Token, code) {
		t.Error("a code was accepted that was used before the dump")
	}
}
