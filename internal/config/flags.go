package config

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// variableOf returns the variable of a flag.
func variableOf(flagName string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parseFlags parses the arguments, and then takes the variable of each flag that
// they do not have. It returns all values with their sources. All values are trimmed
// and checked as variables are.
//
// The variables are no defaults of the flags: -help would print them, with the
// passwords that they may hold.
func parseFlags(f *flag.FlagSet, args []string, env *Env) (settings map[string]Setting, err error) {
	sources := map[string]string{}
	var names []string
	f.VisitAll(func(fl *flag.Flag) {
		names = append(names, fl.Name)
		sources[fl.Name] = "default"
		fl.Usage += " (" + variableOf(fl.Name) + ")"
		fl.Value = &trimmed{Value: fl.Value, name: "-" + fl.Name}
	})
	env.know(names)
	parseErr := f.Parse(args)
	var refused []error
	f.VisitAll(func(fl *flag.Flag) {
		t := fl.Value.(*trimmed)
		refused = append(refused, t.refused)
		fl.Value = t.Value // PrintDefaults asks for its type
	})
	if err := errors.Join(refused...); err != nil {
		return nil, err
	}
	if parseErr != nil {
		return nil, parseErr
	}
	f.Visit(func(fl *flag.Flag) { sources[fl.Name] = "flag" })
	for _, name := range names {
		if sources[name] == "flag" {
			continue
		}
		variable, get := variableOf(name), env.Get
		source := variable
		if slices.Contains(secretFlags, name) {
			get, source = env.Secret, env.Source(variable)
		}
		value, err := get(variable)
		if err != nil {
			return nil, err
		}
		if value == "" {
			continue
		}
		if err := f.Set(name, value); err != nil { // of a duration or a Boolean, which is no secret
			return nil, fmt.Errorf("%s (-%s) has an invalid value, %q: %w", source, name, value, err)
		}
		sources[name] = source
	}
	settings = map[string]Setting{}
	f.VisitAll(func(fl *flag.Flag) {
		s := Setting{Value: fl.Value.String(), Source: sources[fl.Name]}
		if s.Source == "flag" {
			s.Source = "the flag"
		}
		if name, err := store.ParseName(s.Value); slices.Contains(secretFlags, fl.Name) && (fl.Name != "db" || err != nil || name.Postgres != "") {
			s.Value = "not shown"
		}
		settings["-"+fl.Name] = s
	})
	for _, name := range secretVariables {
		if value, err := env.Secret(name); err == nil && value != "" {
			settings[name] = Setting{Value: "not shown", Source: env.Source(name)}
		}
	}
	return settings, nil
}

// A Setting is the value of a flag or a key, which is not shown if it may hold a
// secret, and its source: "the flag", the name of a variable, or "default".
type Setting struct {
	Value  string `json:"value"`
	Source string `json:"source"`
}

// A trimmed value is set to a text without the space around it. It keeps an error
// to itself: flag.FlagSet would quote the value, which may hold a password.
type trimmed struct {
	flag.Value
	name    string
	refused error
}

func (t *trimmed) Set(s string) error {
	s, err := clean(t.name, s)
	if err != nil {
		t.refused = err
		return nil
	}
	return t.Value.Set(s)
}

// IsBoolFlag reports whether the flag may be given without a value.
func (t *trimmed) IsBoolFlag() bool {
	b, ok := t.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}
