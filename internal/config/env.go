package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// prefix begins the names of the server's variables.
const prefix = "AUTHSIGNAL_"

// fileSuffix ends the name of a variable that holds the path of a file with the
// value of the variable without it.
const fileSuffix = "_FILE"

// maxValue is the maximum size of a file with a value, in bytes.
const maxValue = 64 << 10

// secretVariables may hold a secret and have no flag. Together with those of
// secretFlags they may be given by a file.
var secretVariables = []string{
	"AUTHSIGNAL_API_SECRET_KEY", "AUTHSIGNAL_ENCRYPTION_KEY", "AUTHSIGNAL_OLD_ENCRYPTION_KEYS", "AUTHSIGNAL_MANAGEMENT_KEY",
	PassphraseVariable,
}

// PassphraseVariable is the variable of the passphrase that seals the export of a
// tenant.
const PassphraseVariable = "AUTHSIGNAL_EXPORT_PASSPHRASE"

// secretFlags are the flags with URLs, which may hold a password.
var secretFlags = []string{"db", "migrate-db", "webhook-url"}

// Env is the process environment. It is the one place where variables are read:
// every value is trimmed and checked, and that of a secret variable may be in a
// file. An empty variable counts as absent. The nil Env is empty.
//
// No error quotes a value, and none quotes the path of a file: it could be a secret
// that was given by the wrong variable.
type Env struct {
	variables map[string]string
	// files caches the values that were read: a pipe can be read only once.
	files map[string]string
	// known are the names that Parse knows.
	known []string
}

// NewEnv returns the environment of os.Environ.
func NewEnv(environ []string) *Env {
	e := &Env{variables: map[string]string{}, files: map[string]string{}}
	for _, s := range environ {
		name, value, _ := strings.Cut(s, "=")
		if _, twice := e.variables[name]; !twice { // as os.Getenv does
			e.variables[name] = value
		}
	}
	return e
}

// Get returns the value of a variable.
func (e *Env) Get(name string) (string, error) {
	if e == nil {
		return "", nil
	}
	return clean(name, e.variables[name])
}

// Secret returns the value of a variable, or of the file whose path is in the
// variable NAME_FILE. It is an error if both are set.
func (e *Env) Secret(name string) (string, error) {
	value, err := e.Get(name)
	if err != nil {
		return "", err
	}
	source := name + fileSuffix
	path, err := e.Get(source)
	switch {
	case err != nil:
		return "", err
	case path == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s and %s are both set; set one of them", name, source)
	}
	if value, cached := e.files[source]; cached {
		return value, nil
	}
	b, err := readValue(path)
	if err != nil {
		return "", fmt.Errorf("%s names a file that %w", source, err)
	}
	if value, err = clean("the file that "+source+" names", string(b)); err != nil {
		return "", err
	}
	if value == "" {
		return "", fmt.Errorf("%s names a file that is empty", source)
	}
	e.files[source] = value
	return value, nil
}

// Source returns the name of the variable that gives the value of a secret one:
// itself, or the one with the path of a file.
func (e *Env) Source(name string) string {
	if path, err := e.Get(name + fileSuffix); err == nil && path != "" {
		return name + fileSuffix
	}
	return name
}

func readValue(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("does not exist")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a folder")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxValue+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	if len(b) > maxValue {
		return nil, fmt.Errorf("has more than %d bytes", maxValue)
	}
	return b, nil
}

func withoutPath(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// clean returns a value without the space and the line ends around it, and
// without a byte order mark. It refuses what no value holds; the error begins with
// what has the value.
func clean(what, value string) (string, error) {
	value = strings.TrimSpace(strings.TrimPrefix(value, "\ufeff"))
	switch {
	case !utf8.ValidString(value):
		return "", fmt.Errorf("%s must be UTF-8 text", what)
	case strings.ContainsAny(value, "\r\n\u0085\u2028\u2029"):
		return "", fmt.Errorf("%s must be one line", what)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", fmt.Errorf("%s contains a control character", what)
	}
	return value, nil
}

// know stores which variables the server reads; those of backends, which may share
// an environment with it, are known too.
func (e *Env) know(flags []string) {
	if e == nil {
		return
	}
	e.known = []string{"AUTHSIGNAL_TENANT_ID", "AUTHSIGNAL_API_URL"}
	for _, name := range secretVariables {
		e.known = append(e.known, name, name+fileSuffix)
	}
	for _, name := range flags {
		e.known = append(e.known, variableOf(name))
		if slices.Contains(secretFlags, name) {
			e.known = append(e.known, variableOf(name)+fileSuffix)
		}
	}
	slices.Sort(e.known)
}

// Known returns the names of all variables that Parse knows, in order.
func (e *Env) Known() []string {
	if e == nil {
		return nil
	}
	return slices.Clone(e.known)
}

// An UnknownVariable has a name like those of the server's variables, and is none.
type UnknownVariable struct {
	Name string
	// Nearest is the known variable whose name is most like it.
	Nearest string
}

// kubernetes matches the variables that Kubernetes sets for a Service whose name
// begins with "authsignal".
var kubernetes = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// Unknown returns the variables whose names begin like those of the server, in any
// case, and that neither Parse nor the caller knows, in order.
func (e *Env) Unknown(known ...string) (all []UnknownVariable) {
	if e == nil {
		return nil
	}
	known = append(e.Known(), known...)
	for _, name := range slices.Sorted(maps.Keys(e.variables)) {
		upper := strings.ToUpper(name)
		if !strings.HasPrefix(upper, prefix) || slices.Contains(known, name) || strings.HasPrefix(name, prefix+"TEST_") ||
			kubernetes.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(e.variables[name], "://") {
			continue
		}
		u := UnknownVariable{Name: name}
		least := len(upper) + 100
		for _, k := range known {
			// A variable that is no secret has no file.
			if d := min(distance(upper, k), 1+distance(strings.TrimSuffix(upper, fileSuffix), k)); d < least {
				least, u.Nearest = d, k
			}
		}
		all = append(all, u)
	}
	return all
}

// distance returns the Levenshtein distance of two texts, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
