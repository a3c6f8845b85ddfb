package store

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// A Name is the meaning of a database's name, the value of -db.
type Name struct {
	// Path is the path of a SQLite file; empty on PostgreSQL.
	Path string
	// MustExist reports whether the SQLite file is not created.
	MustExist bool
	// Postgres is a URL with the scheme postgres or postgresql, or keywords and
	// values as in libpq (PostgreSQL's documentation, "Connection Strings");
	// empty on SQLite.
	Postgres string
}

var (
	schemes  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	keywords = regexp.MustCompile(`^\s*[A-Za-z_]+\s*=`)
)

// nameForms are those that ParseName accepts.
const nameForms = "the path of a SQLite file, file:PATH, sqlite:PATH, postgres://user:password@host/name, or host=... dbname=... as in libpq"

// ParseName returns the meaning of a database's name. What is no known form is
// refused: if it was taken for a path, a new database would be opened, in which no
// user is enrolled. Since the name may hold a password, errors quote no more of it
// than a scheme and the names of parameters.
func ParseName(database string) (Name, error) {
	first, _, _ := strings.Cut(database, "/")
	scheme := schemes.FindString(database)
	rest := database[len(scheme):]
	switch scheme = strings.ToLower(scheme); {
	case database == "":
		return Name{}, errors.New("the name of the database is empty; it is " + nameForms)
	case (scheme == "postgres:" || scheme == "postgresql:") && strings.HasPrefix(rest, "//"):
		return parsePostgresURL(scheme + rest)
	case scheme == "file:" || scheme == "sqlite:":
		return parseFileURI(scheme, rest)
	case keywords.MatchString(database):
		return Name{Postgres: database}, nil
	case strings.Contains(first, ":memory:"):
		return Name{}, errInMemory
	case scheme == "postgres:" || scheme == "postgresql:":
		return Name{}, errors.New("the name of the database begins with postgres: but not with postgres://, as a URL of PostgreSQL does")
	case scheme == "jdbc:" || scheme != "" && strings.HasPrefix(rest, "//"):
		return Name{}, fmt.Errorf("the name of the database has the unknown scheme %s; it is %s", scheme, nameForms)
	case strings.Contains(first, ":"), strings.Contains(database, "//") && strings.Contains(database, "@"):
		return Name{}, errors.New("the name of the database is of no known form; it is " + nameForms + "; a path that has a colon begins with / or ./")
	}
	return Name{Path: database}, nil
}

var errInMemory = errors.New("a database in memory is not supported: all enrollments would be lost with the process; name a file")

// parsePostgresURL refuses URLs in which a part of the password would be taken for
// something else, which errors quote.
func parsePostgresURL(database string) (Name, error) {
	_, rest, _ := strings.Cut(database, "//")
	if after := strings.IndexAny(rest, "/?"); strings.Contains(rest, "#") || after >= 0 && strings.Contains(rest[after:], "@") {
		return Name{}, errors.New("the URL of the database has an @ after its host, or a #: in a user, a password or a value write each of / ? # @ % as %2F %3F %23 %40 %25")
	}
	return Name{Postgres: database}, nil
}

// parseFileURI reads a URI as SQLite does (sqlite.org/uri.html).
func parseFileURI(scheme, rest string) (Name, error) {
	path, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest, "#") {
		return Name{}, fmt.Errorf("the %s URI of the database has a #; in a path write %%23", scheme)
	}
	if authority, ok := strings.CutPrefix(path, "//"); ok {
		// Some programs take sqlite:///a for /a, and some for a.
		if scheme == "sqlite:" {
			return Name{}, errors.New("programs disagree about the path in sqlite://; write sqlite:/absolute/path or sqlite:relative/path")
		}
		host, _, _ := strings.Cut(authority, "/")
		if host != "" && !strings.EqualFold(host, "localhost") {
			return Name{}, errors.New("the file:// URI of the database names a host; write file:///absolute/path or file:relative/path")
		}
		path = authority[len(host):]
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return Name{}, fmt.Errorf("the %s URI of the database has a %% that is not followed by two hexadecimal digits; write it as %%25", scheme)
	}
	name := Name{Path: path}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Name{}, fmt.Errorf("the %s URI of the database has parameters that cannot be read", scheme)
	}
	for key, value := range values {
		switch mode := value[len(value)-1]; {
		case key == "mode" && mode == "rwc":
		case key == "mode" && mode == "rw":
			name.MustExist = true
		case key == "mode" && mode == "memory":
			return Name{}, errInMemory
		case key == "mode":
			return Name{}, fmt.Errorf("the %s URI of the database has a mode that is neither rw nor rwc: the server must be able to write", scheme)
		default:
			return Name{}, fmt.Errorf("the %s URI of the database has the parameter %q; only mode=rw and mode=rwc are known, the server makes all other settings itself", scheme, key)
		}
	}
	switch path {
	case "":
		return Name{}, fmt.Errorf("the %s URI of the database has no path", scheme)
	case ":memory:":
		return Name{}, errInMemory
	}
	return name, nil
}

// IsPostgres reports whether the name of a database is one of PostgreSQL.
func IsPostgres(database string) bool {
	name, err := ParseName(database)
	return err == nil && name.Postgres != ""
}

// FilePath returns the path of the SQLite file with that name. A name that
// ParseName refuses is returned as it is; it is never opened.
func FilePath(database string) string {
	name, err := ParseName(database)
	if err != nil {
		return database
	}
	return name.Path
}
