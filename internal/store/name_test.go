package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for database, want := range map[string]Name{
		"authsignal.db":               {Path: "authsignal.db"},
		"/var/lib/a b?c#d%41&é=1.db":  {Path: "/var/lib/a b?c#d%41&é=1.db"},
		"./a:b.db":                    {Path: "./a:b.db"},
		"./host=a":                    {Path: "./host=a"},
		"data/12:30.db":               {Path: "data/12:30.db"},
		"file:a.db":                   {Path: "a.db"},
		"FILE:a.db":                   {Path: "a.db"},
		"file:/var/a.db":              {Path: "/var/a.db"},
		"file:///var/a%20b%3F.db":     {Path: "/var/a b?.db"},
		"file://localhost/var/a.db":   {Path: "/var/a.db"},
		"file:a.db?mode=rwc":          {Path: "a.db"},
		"file:a.db?mode=rw":           {Path: "a.db", MustExist: true},
		"sqlite:a.db":                 {Path: "a.db"},
		"sqlite:/var/a.db?mode=rw":    {Path: "/var/a.db", MustExist: true},
		"postgres://u:p@h/n":          {Postgres: "postgres://u:p@h/n"},
		"postgresql://h":              {Postgres: "postgresql://h"},
		"Postgres://u:p@h/n":          {Postgres: "postgres://u:p@h/n"},
		"postgres://u:p@a:1,b:2/n":    {Postgres: "postgres://u:p@a:1,b:2/n"},
		"postgres:///n?host=/run":     {Postgres: "postgres:///n?host=/run"},
		"postgres://u:a@b@h/n":        {Postgres: "postgres://u:a@b@h/n"},
		"host=h dbname=n":             {Postgres: "host=h dbname=n"},
		" password = 'a:/@ b' host=h": {Postgres: " password = 'a:/@ b' host=h"},
		"service=authsignal":          {Postgres: "service=authsignal"},
	} {
		if got, err := ParseName(database); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", database, got, err, want)
		}
	}
}

// A name of no known form is refused, and not opened as a path. The error names
// what is wrong, and quotes no part of a password.
func TestOpenRefusesUnknownNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // so that a file of that name would be seen
	for database, want := range map[string]string{
		"":                                       "empty",
		":memory:":                               "in memory",
		"file::memory:":                          "in memory",
		"file:a.db?mode=memory":                  "in memory",
		"sqlite::memory:":                        "in memory",
		"file:a.db?mode=ro":                      "neither rw nor rwc",
		"file:a.db?cache=shared":                 `"cache"`,
		"file:a.db?mode=rw&_pragma=x":            `"_pragma"`,
		"file:a.db#x":                            "%23",
		"file:a%zz.db":                           "%25",
		"file:":                                  "no path",
		"file://a.db":                            "file:relative/path",
		"file://server/a.db":                     "names a host",
		"sqlite://a.db":                          "sqlite:/absolute/path",
		"sqlite:///var/a.db":                     "sqlite:/absolute/path",
		"sqlite3:a.db":                           "no known form",
		"jdbc:postgresql://h/n?password=hunter2": "unknown scheme jdbc:",
		"postgre://u:hunter2@h/n":                "unknown scheme postgre:",
		"mysql://u:hunter2@h/n":                  "unknown scheme mysql:",
		"postgres:/u:hunter2@h/n":                "postgres://",
		"postgres:u:hunter2@h/n":                 "postgres://",
		"postgres//u:hunter2@h/n":                "no known form",
		"//u:hunter2@h/n":                        "no known form",
		"u:hunter2@h/n":                          "no known form",
		"localhost:5432":                         "no known form",
		`C:\a.db`:                                "no known form",
		"12:30.db":                               "./",
		"postgres://u:hunter2/x@h/n":             "%2F",
		"postgres://u:1?hunter2@h/n":             "%2F",
		"postgres://u:1#hunter2@h/n":             "%2F",
		"postgres://u:hun#ter2@h/n":              "%2F",
	} {
		s, err := open(t, database, key)
		if s != nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%s: got %v, want it to say %q", database, err, want)
		}
		if _, err := ParseName(database); err == nil {
			t.Errorf("%s has a meaning", database)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestOpenURIsOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := "file:" + dir + "/none.db?mode=rw"
	if _, err := open(t, missing, key); err == nil || !strings.Contains(err.Error(), "none.db") {
		t.Errorf("mode=rw without a file: got %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	for i, database := range []string{"file:" + dir + "/a%20b.db", "sqlite:" + dir + "/a%20b.db?mode=rw", "file://" + dir + "/a%20b.db?mode=rwc"} {
		if err := mustOpen(t, database).Close(); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, "copy", string(rune('a'+i)))
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := Backup(t.Context(), database, copied); err != nil {
			t.Errorf("backup of %s: %v", database, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a b.db")); err != nil {
		t.Error(err)
	}
}
