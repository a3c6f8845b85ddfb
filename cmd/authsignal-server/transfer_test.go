package main

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// succeeds runs a command and returns what it prints.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestDeleteTenantCommand(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	p := start(t, db)
	p.track("jane", "k")
	if !storetest.Postgres() {
		if got := fails(t, command(t, "-db", db, "delete-tenant", "t1")); !strings.Contains(got, "in use") {
			t.Errorf("while the server runs: got %s", got)
		}
	}
	stopped(t, p)
	if got := fails(t, command(t, "-db", db, "delete-tenant", "t2")); !strings.Contains(got, "The tenant does not exist.") {
		t.Errorf("an unknown tenant: got %s", got)
	}
	if got := succeeds(t, "-db", db, "delete-tenant", "t1"); !strings.Contains(got, "deleted the tenant t1 and ") {
		t.Errorf("got %s", got)
	}
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", db)); !strings.Contains(got, "was deleted at") {
		t.Errorf("the next start: got %s", got)
	}
}

// A wrong name does not create a database.
func TestCommandsNeedADatabaseThatExists(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "typo.db")
	for _, args := range [][]string{{"delete-tenant", "t1"}, {"import", os.DevNull}, {"export", "t1", db + ".age"}} {
		cmd := command(t, append([]string{"-db", db}, args...)...)
		cmd.Env = append(cmd.Env, "AUTHSIGNAL_EXPORT_PASSPHRASE="+passphrase)
		if got := fails(t, cmd); !strings.Contains(got, "no such file") {
			t.Errorf("%q: got %s", args, got)
		}
	}
	if files, err := filepath.Glob(db + "*"); err != nil || len(files) != 0 {
		t.Errorf("left behind %q, %v", files, err)
	}
}

// stopped stops a server gracefully.
func stopped(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
}

// usersFile writes a CSV file with users, each with a secret of its own, and
// returns its path, the secrets and the time of the step that was used last.
func usersFile(t *testing.T, users int) (file string, secrets []string, lastUse time.Time) {
	t.Helper()
	lastUse = time.Now().Add(-30 * time.Second)
	var b bytes.Buffer
	b.WriteString("userId,secret,lastStep\n")
	for n := range users {
		key := make([]byte, 20)
		binary.BigEndian.PutUint64(key, uint64(n+1))
		secrets = append(secrets, base32.StdEncoding.EncodeToString(key))
		fmt.Fprintf(&b, "user-%06d,%s,%d\n", n, secrets[n], lastUse.Unix()/30)
	}
	file = filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, secrets, lastUse
}

// count returns the result of a query for a number, beside whatever uses the
// database.
func count(t *testing.T, db, query string) (n int) {
	t.Helper()
	c := storetest.Connect(t, db)
	defer c.Close()
	if err := c.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var importedLine = regexp.MustCompile(`imported (\d+) authenticators and created (\d+) users, from (\d+) lines in .*\n(\d+) were there already`)

// An import that is killed at any time goes on when it is run again: no user is
// missing and none has an authenticator twice. On PostgreSQL a server runs
// meanwhile.
func TestImportSurvivesKills(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	p := start(t, db)
	if !storetest.Postgres() {
		stopped(t, p)
	}
	users := 4_000
	if text := os.Getenv("AUTHSIGNAL_TEST_ROWS"); text != "" {
		var err error
		if users, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	file, secrets, lastUse := usersFile(t, users)
	const authenticators = `SELECT COUNT(*) FROM authenticators`
	kills := 0
	for before := 0; kills < 3; {
		cmd := command(t, "-db", db, "import", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		ended := false
		for !ended {
			if n := count(t, db, authenticators); n > before {
				before = n
				break
			}
			select {
			case err := <-exited:
				if err != nil {
					t.Fatal(err)
				}
				ended = true
			default:
			}
		}
		if ended {
			break
		}
		cmd.Process.Kill()
		<-exited
		kills++
	}
	there := count(t, db, authenticators)
	began := time.Now()
	out := succeeds(t, "-db", db, "import", file)
	m := importedLine.FindStringSubmatch(out)
	if want := []string{strconv.Itoa(users - there), strconv.Itoa(users - there), strconv.Itoa(users), strconv.Itoa(there)}; m == nil || fmt.Sprint(m[1:]) != fmt.Sprint(want) {
		t.Errorf("got %s, want %q", out, want)
	}
	t.Logf("killed %d times, the last time with %d of %d users; the rest was imported in %v", kills, there, users, time.Since(began).Round(time.Millisecond))
	for query, want := range map[string]int{
		authenticators: users, `SELECT COUNT(*) FROM users`: users, `SELECT COUNT(DISTINCT user_id) FROM authenticators`: users,
		`SELECT COUNT(*) FROM audit WHERE kind = 'enrollment.completed'`: users,
	} {
		if got := count(t, db, query); got != want {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
	if !storetest.Postgres() {
		p = start(t, db)
	}
	// The step of the last use is spent, and the present one is not.
	for _, n := range []int{0, users / 2, users - 1} {
		tok := p.track(fmt.Sprintf("user-%06d", n), "k").Token
		if p.verify(tok, oathtool(t, secrets[n], lastUse)) || !p.verify(tok, oathtool(t, secrets[n], time.Now())) {
			t.Errorf("user %d cannot sign in with the code of the present step alone", n)
		}
	}
}

func TestImportCommand(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	p := start(t, db)
	if !storetest.Postgres() {
		if got := fails(t, command(t, "-db", db, "import", os.DevNull)); !strings.Contains(got, "in use") {
			t.Errorf("while the server runs: got %s", got)
		}
		stopped(t, p)
	}
	const file = "userId,secret\njane,GEZDGNBVGY3TQOJQ\nbad,GEZDGNBVGY3TQOJ1\n"
	in := func(args ...string) string {
		cmd := command(t, append([]string{"-db", db, "import"}, args...)...)
		cmd.Stdin = strings.NewReader(file)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-"}, "line 3: secret is not base32\nauthsignal-server: 1 of 2 lines cannot be imported; nothing was imported"},
		{[]string{"-", "-dry-run", "-skip-bad"}, "line 3: secret is not base32\nwould import 1 authenticators and create 1 users, from 2 lines"},
		{[]string{"-", "-dry-run", "-skip-bad"}, "1 secrets have fewer than the 128 bits of RFC 4226"},
		{[]string{"-tenant", "t1", "-", "-skip-bad"}, "imported 1 authenticators and created 1 users, from 2 lines"},
		{[]string{"-skip-bad", "-"}, "1 were there already, 0 of them with an earlier last use; 1 lines cannot be imported"},
		{[]string{"-tenant", "t9", "-"}, "there is no tenant t9"},
		{[]string{"-"}, "cannot be imported"},
		{nil, "usage: authsignal-server [flags] import"},
		{[]string{"-", "-"}, "usage: authsignal-server [flags] import"},
		{[]string{"-dry", "-"}, "usage: authsignal-server [flags] import"},
		{[]string{filepath.Join(t.TempDir(), "none.csv")}, "no such file"},
	} {
		if got := in(tt.args...); !strings.Contains(got, tt.want) || strings.Contains(got, "GEZDG") {
			t.Errorf("%q: got %s, want %q", tt.args, got, tt.want)
		}
	}
}

// The file of docs/moving.md is imported as the page says.
func TestImportOfTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/moving.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(page), "```text\nuserId,")
	sample, _, _ = strings.Cut(sample, "```")
	file := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(file, []byte("userId,"+sample), 0o600); err != nil {
		t.Fatal(err)
	}
	db := storetest.Database(t)
	stopped(t, start(t, db))
	if got := succeeds(t, "-db", db, "import", "-dry-run", file); !strings.Contains(got, "would import 2 authenticators and create 2 users") {
		t.Errorf("got %s", got)
	}
	if got := succeeds(t, "-db", db, "import", file); !strings.Contains(got, "imported 2 authenticators and created 2 users") {
		t.Errorf("got %s", got)
	}
}

const passphrase = "correct horse battery staple"

// A tenant is moved from one database to a SQLite file with another encryption key,
// and back; its backend and its users continue, and no code is accepted twice.
func TestMoveOfATenant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second, third := storetest.Database(t), filepath.Join(dir, "second.db"), storetest.Database(t)
	const otherKey = "AUTHSIGNAL_ENCRYPTION_KEY=CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk="
	run := func(db string, args ...string) string {
		t.Helper()
		cmd := command(t, append([]string{"-db", db}, args...)...)
		cmd.Env = append(cmd.Env, "AUTHSIGNAL_EXPORT_PASSPHRASE="+passphrase)
		if db == second {
			cmd.Env = append(cmd.Env, otherKey)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "failed: " + string(out)
		}
		return string(out)
	}
	// The other databases have a tenant of their own.
	for _, db := range []string{second, third} {
		cmd := command(t, "-addr", "127.0.0.1:0", "-db", db)
		cmd.Env = append(cmd.Env, "AUTHSIGNAL_TENANT_ID=own", "AUTHSIGNAL_API_SECRET_KEY=another-secret-key-of-32-characters")
		if db == second {
			cmd.Env = append(cmd.Env, otherKey)
		}
		stopped(t, startCommand(t, cmd))
	}
	file, secrets, _ := usersFile(t, 50)
	p := start(t, first)
	if !storetest.Postgres() {
		stopped(t, p)
	}
	succeeds(t, "-db", first, "import", file)
	if !storetest.Postgres() {
		p = start(t, first)
	}
	used := time.Now()
	if !p.verify(p.track("user-000007", "k").Token, oathtool(t, secrets[7], used)) {
		t.Fatal("the code is refused")
	}
	stopped(t, p)

	exports := []string{filepath.Join(dir, "first.age"), filepath.Join(dir, "second.age")}
	if got := run(first, "export", "t1", exports[0]); got != "exported the tenant t1 with 50 users and 50 authenticators to "+exports[0]+"\n" {
		t.Fatalf("got %s", got)
	}
	if info, err := os.Stat(exports[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	if got := run(first, "export", "t1", exports[0]); !strings.Contains(got, "file exists") {
		t.Errorf("over a file that exists: got %s", got)
	}
	for _, move := range []struct{ to, export, next string }{{second, exports[0], exports[1]}, {third, exports[1], ""}} {
		if got := run(move.to, "import-tenant", move.export); got != "imported the tenant t1 with 50 users and 50 authenticators\n" {
			t.Fatalf("got %s", got)
		}
		if move.next != "" {
			run(move.to, "export", "t1", move.next)
		} else if got := run(move.to, "import-tenant", move.export); !strings.Contains(got, "the tenant t1 exists here; nothing was changed") {
			t.Errorf("twice: got %s", got)
		}
	}

	p = start(t, third)
	usersContinue(p, secrets, used)
	opensWithAge(t, exports[1])

	// The passphrase is not an argument, and must be there.
	if got := fails(t, command(t, "-db", third, "export", "t1", exports[1]+"2")); !strings.Contains(got, "the passphrase is missing: set AUTHSIGNAL_EXPORT_PASSPHRASE or AUTHSIGNAL_EXPORT_PASSPHRASE_FILE") {
		t.Errorf("got %s", got)
	}
	if got := fails(t, command(t, "-db", third, "export", "t1", "x", passphrase)); !strings.Contains(got, "usage:") || strings.Contains(got, passphrase) {
		t.Errorf("got %s", got)
	}
}

// usersContinue has each user of a tenant that was moved sign in with a code, which is
// accepted once. User 7 used the code of a time on the first server, which is refused.
func usersContinue(p *process, secrets []string, used time.Time) {
	t := p.t
	t.Helper()
	for n, s := range secrets {
		tok := p.track(fmt.Sprintf("user-%06d", n), "k2").Token
		if n == 7 {
			if p.verify(tok, oathtool(t, s, used)) {
				t.Error("a code that was used on the first server is accepted")
			}
			continue
		}
		code := oathtool(t, s, time.Now())
		if !p.verify(tok, code) {
			t.Errorf("user %d: the code is refused", n)
		}
		if p.verify(p.track(fmt.Sprintf("user-%06d", n), "k3").Token, code) {
			t.Errorf("user %d: the code is accepted twice", n)
		}
	}

}

// opensWithAge has another program open an export. It asks for the passphrase on a
// terminal.
func opensWithAge(t *testing.T, export string) {
	t.Helper()
	plain := export + ".json"
	cmd := exec.CommandContext(t.Context(), "script", "-qec", "age --decrypt -o "+plain+" "+export, os.DevNull)
	cmd.Stdin = strings.NewReader(passphrase + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("age (Debian package age): %v\n%s", err, out)
	}
	text, err := os.ReadFile(plain)
	if err != nil || !bytes.HasPrefix(text, []byte(`{"format":"authsignal-tenant","version":1,"tenantId":"t1"`)) {
		t.Errorf("got %.100q, %v", text, err)
	}
}
