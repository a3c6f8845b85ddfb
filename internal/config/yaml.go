package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxValues is the maximum number of values of a file, with those that aliases
// repeat: a few lines of aliases of aliases could mean billions.
const maxValues = 100_000

// A decoder decodes one YAML document into structs with json tags. It works on the
// document's nodes, which have the text of each scalar as it is in the file, with
// its place: in the place of a text, 007, on and 1e3 are the texts that they are
// written as, and in the place of a number or a Boolean only JSON's forms are one.
// A scalar of another meaning is an error, and no key is ignored.
type decoder struct {
	file string
	// places has the place of each value, by its path.
	places map[string]*yaml.Node
	// values counts decoded values. within are the collections around the present
	// one, so that an alias cannot lead to a collection that it is part of.
	values int
	within map[*yaml.Node]bool
}

// documents returns the root nodes of the documents of a file, without empty
// documents. The file must have one that is not empty.
func documents(file string, text []byte) (roots []*yaml.Node, err error) {
	if err := checkText(file, text); err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, syntaxError(file, err)
		}
		if len(n.Content) == 1 && !isNull(n.Content[0]) {
			roots = append(roots, n.Content[0])
		}
	}
	if roots == nil {
		return nil, fmt.Errorf("%s: the file is empty; a file without tenants is written as tenants: []", file)
	}
	return roots, nil
}

// syntaxError writes the place of a parser's error as those of this package.
func syntaxError(file string, err error) error {
	var e *yaml.LoadError
	if errors.As(err, &e) && e.Mark.Line > 0 {
		return fmt.Errorf("%s:%d:%d: %s", file, e.Mark.Line, e.Mark.Column, e.Message)
	}
	return fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
}

// checkText returns an error for the first byte that is not UTF-8 and the first
// control character, for which the parser's errors have no place.
func checkText(file string, text []byte) error {
	line, column, valid := 1, 1, utf8.Valid(text)
	for _, r := range string(text) {
		switch {
		case r == utf8.RuneError && !valid:
			return fmt.Errorf("%s:%d:%d: the file must be UTF-8 text", file, line, column)
		case r != '\t' && r != '\r' && r != '\n' && unicode.IsControl(r):
			return fmt.Errorf("%s:%d:%d: the control character %U is not allowed", file, line, column, r)
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return nil
}

// isPlain reports whether a scalar has neither quotes, nor a tag, nor is a block.
func isPlain(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode &&
		n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
}

func isNull(n *yaml.Node) bool {
	return isPlain(n) && (n.Value == "" || n.Value == "~" || strings.EqualFold(n.Value, "null"))
}

// at returns an error with a place.
func (d *decoder) at(n *yaml.Node, path, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + " " + text
	}
	return fmt.Errorf("%s:%d:%d: %s", d.file, n.Line, n.Column, text)
}

// field matches the field that begins the text of an error about a value.
var field = regexp.MustCompile(`^[A-Za-z]+(\[\d+\])?(?:\.[A-Za-z]+)?`)

// invalid returns the error of a check of the value at a path, with the place of
// the field that the error's text begins with if there is one.
func (d *decoder) invalid(path, text string) error {
	n := d.places[path]
	if name := field.FindString(text); name != "" {
		if of := d.places[path+"."+name]; of != nil {
			n = of
			// The texts of rules go on with the field of the rule.
			if rest := field.FindString(strings.TrimPrefix(text[len(name):], ": ")); rest != "" && d.places[path+"."+name+"."+rest] != nil {
				n = d.places[path+"."+name+"."+rest]
			}
		}
	}
	return d.at(n, path+":", "%s", text)
}

// value decodes a node into v, whose path is for errors.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) error {
	d.places[path] = n
	if d.values++; d.values > maxValues {
		return d.at(n, path, "is one of more than %d values, counting those that aliases repeat", maxValues)
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 && n.Tag != "!!str" {
		return d.at(n, path, "has the tag %s; leave it out", n.Tag)
	}
	if raw, ok := v.Addr().Interface().(*subtree); ok {
		*raw = subtree{d, n, path}
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if n.Kind == yaml.ScalarNode {
		return d.scalar(n, v, path)
	}
	if d.within[n] {
		return d.at(n, path, "contains itself")
	}
	d.within[n] = true
	defer delete(d.within, n)
	switch {
	case n.Kind == yaml.SequenceNode && v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			if err := d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	case n.Kind == yaml.MappingNode && (v.Kind() == reflect.Struct || v.Kind() == reflect.Map):
		return d.mapping(n, v, path)
	}
	return d.at(n, path, "must be %s", kindName(v))
}

// mapping decodes a mapping into a struct, by the json tags of its fields, or into
// a map.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) error {
	fields := map[string]reflect.Value{}
	if v.Kind() == reflect.Map {
		v.Set(reflect.MakeMap(v.Type()))
	} else {
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
				fields[name] = v.Field(i)
			}
		}
	}
	lines := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Value == "<<" && isPlain(k) {
			return d.at(k, path, "has a merge key (<<), which YAML 1.2 does not have; write the values, or an alias for all of them")
		}
		var key string
		if err := d.value(k, reflect.ValueOf(&key).Elem(), join(path, "(key)")); err != nil {
			return err
		}
		if line, twice := lines[key]; twice {
			return d.at(k, path, "has the key %q twice; the first one is in line %d", key, line)
		}
		lines[key] = k.Line
		of := join(path, key)
		if v.Kind() == reflect.Map {
			element := reflect.New(v.Type().Elem()).Elem()
			if err := d.value(n.Content[i+1], element, of); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(key), element)
			continue
		}
		fieldOf, known := fields[key]
		if !known {
			return d.at(k, path, "has the unknown key %q; the nearest one is %q", key, nearest(key, fields))
		}
		if err := d.value(n.Content[i+1], fieldOf, of); err != nil {
			return err
		}
	}
	return nil
}

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	boolean     = regexp.MustCompile(`^(true|True|TRUE|false|False|FALSE)$`)
)

// scalar decodes a scalar into a string, a number or a Boolean.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.String:
		if isNull(n) {
			return d.at(n, path, `is empty or null; write "" for an empty text, and quotes around the text null or ~`)
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if !isPlain(n) || !boolean.MatchString(n.Value) {
			return d.at(n, path, "must be true or false")
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		if !isPlain(n) || !wholeNumber.MatchString(n.Value) {
			return d.at(n, path, "must be a whole number in decimal digits, without a unit, quotes or leading zeros")
		}
		i, err := strconv.Atoi(n.Value)
		if err != nil {
			return d.at(n, path, "is out of range")
		}
		v.SetInt(int64(i))
	default:
		return d.at(n, path, "must be %s", kindName(v))
	}
	return nil
}

// kindName returns what a value of a Go type is in YAML.
func kindName(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		return "a mapping"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest returns the name that is most like a key.
func nearest[T any](key string, names map[string]T) (found string) {
	least := -1
	for name := range names {
		if d := distance(key, name); least < 0 || d < least || d == least && name < found {
			least, found = d, name
		}
	}
	return found
}

// A subtree is a part of a file that is decoded later, over values that are stored.
type subtree struct {
	decoder *decoder
	node    *yaml.Node
	path    string
}

// over decodes the subtree over the present fields of a struct. The zero subtree
// changes nothing.
func (s subtree) over(v any) error {
	if s.node == nil {
		return nil
	}
	return s.decoder.value(s.node, reflect.ValueOf(v).Elem(), s.path)
}
