// Package docs has the pages of the documentation, and the tests that compare
// them with what they are about: links, flags, error codes, routes, rooms and
// samples. It has no code.
package docs

import (
	"bytes"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/authsignal-wasm/sdk/internal/config"
)

// root is the folder of the repository.
const root = ".."

// blob is where the files of the repository are found from npm's page, which
// has no relative links.
const blob = "https://github.com/authsignal-wasm/sdk/blob/main/"

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages returns the names of all pages of the documentation.
func pages(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) < 15 {
		t.Fatalf("got %d pages: %v", len(names), err)
	}
	for i, name := range names {
		names[i] = "docs/" + name
	}
	return append(names, "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "js/README.md")
}

// A block is a block of code of a page.
type block struct {
	page     string
	heading  string // the last one before it
	language string // of a fence; "" where the block is indented
	text     string
}

// first returns the block's first line that is not empty.
func (b block) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(b.text), "\n")
	return line
}

// split returns the blocks of a page and the lines outside of them, with the
// headings' own lines among these.
func split(page, text string) (blocks []block, prose []string) {
	var heading string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		b := block{page: page, heading: heading}
		switch {
		case strings.HasPrefix(line, "```"):
			b.language = strings.TrimPrefix(line, "```")
			for i++; i < len(lines) && lines[i] != "```"; i++ {
				b.text += lines[i] + "\n"
			}
		case strings.HasPrefix(line, "    ") && i > 0 && lines[i-1] == "":
			for ; i < len(lines) && (lines[i] == "" || strings.HasPrefix(lines[i], "    ")); i++ {
				b.text += strings.TrimPrefix(lines[i], "    ") + "\n"
			}
			i--
		default:
			if strings.HasPrefix(line, "#") {
				heading = strings.TrimLeft(line, "# ")
			}
			prose = append(prose, line)
			continue
		}
		blocks = append(blocks, b)
	}
	return blocks, prose
}

// blocksOf returns the blocks of a page under a heading, in a language.
func blocksOf(t *testing.T, page, heading, language string) (found []string) {
	t.Helper()
	blocks, _ := split(page, read(t, page))
	for _, b := range blocks {
		if b.heading == heading && b.language == language {
			found = append(found, b.text)
		}
	}
	if found == nil {
		t.Fatalf("%s has no block of %q under %q", page, language, heading)
	}
	return found
}

var (
	codeSpan = regexp.MustCompile("`[^`]*`")
	// link is a link or a picture of Markdown, or an attribute of HTML.
	link = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	// markup is what a heading shows without: links and emphasis.
	headingLink = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// anchors returns the fragments that GitHub gives to the headings of a page:
// lower case, without punctuation, with dashes for spaces, and numbered where
// the same one comes again.
func anchors(text string) map[string]bool {
	_, prose := split("", text)
	all := map[string]bool{}
	count := map[string]int{}
	for _, line := range prose {
		level := len(line) - len(strings.TrimLeft(line, "#"))
		if level == 0 || level > 6 || !strings.HasPrefix(line[level:], " ") {
			continue
		}
		shown := strings.NewReplacer("`", "", "*", "").Replace(headingLink.ReplaceAllString(strings.TrimSpace(line[level:]), "$1"))
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, shown)
		n := count[anchor]
		count[anchor]++
		if n > 0 {
			anchor += "-" + strconv.Itoa(n)
		}
		all[anchor] = true
	}
	return all
}

func TestAnchors(t *testing.T) {
	got := slices.Sorted(maps.Keys(anchors("# A `code` & *more*\n## Same\n## Same\n```\n# none\n```\n### [Link](x.md), under_score: action.verify\n")))
	want := []string{"a-code--more", "link-under_score-actionverify", "same", "same-1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLinksResolve(t *testing.T) {
	checked := 0
	for _, page := range pages(t) {
		_, prose := split(page, read(t, page))
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(strings.Join(prose, "\n"), ""), -1) {
			to := m[1] + m[2]
			target, ours := strings.CutPrefix(to, blob)
			switch {
			case ours: // from npm's page
			case strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:"):
				continue
			case page == "js/README.md":
				t.Errorf("%s: %s is relative, and npm's page has no such file: begin it with %s", page, to, blob)
				continue
			case strings.HasPrefix(to, "#"):
				target = page + to
			default:
				target = path.Join(path.Dir(page), to)
			}
			checked++
			file, anchor, hasAnchor := strings.Cut(target, "#")
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: %s does not exist", page, to)
				continue
			}
			if hasAnchor && (path.Ext(file) != ".md" || !anchors(read(t, file))[anchor]) {
				t.Errorf("%s: %s: %s has no heading of that name", page, to, file)
			}
		}
	}
	if checked < 80 {
		t.Errorf("checked %d links only", checked)
	}
}

func TestTheFrontDoorIsShort(t *testing.T) {
	text := read(t, "README.md")
	if lines := strings.Count(text, "\n"); lines > 200 || len(text) > 12<<10 {
		t.Errorf("README.md has %d lines and %d bytes, want at most 200 and %d: the rest belongs to docs/", lines, len(text), 12<<10)
	}
	for _, page := range pages(t) {
		if strings.HasPrefix(page, "docs/") && !strings.Contains(text, "]("+page+")") {
			t.Errorf("README.md does not link to %s", page)
		}
	}
}

func TestPicturesAreSmallAndShown(t *testing.T) {
	files, err := filepath.Glob("pictures/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d pictures: %v", len(files), err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 100_000 {
			t.Errorf("%s has %d bytes, want at most 100,000", file, info.Size())
		}
		if !strings.Contains(read(t, "README.md"), "docs/"+file) {
			t.Errorf("%s is not in README.md", file)
		}
	}
}

// A row of a table, by its cells.
func rows(t *testing.T, page, heading string) (all [][]string) {
	t.Helper()
	_, prose := split(page, read(t, page))
	at := ""
	for _, line := range prose {
		if strings.HasPrefix(line, "#") {
			at = strings.TrimLeft(line, "# ")
		}
		if at != heading || !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	if len(all) < 3 {
		t.Fatalf("%s has no table under %q", page, heading)
	}
	return all[2:] // without its head
}

var variable = regexp.MustCompile(`\bAUTHSIGNAL_[A-Z_]+\b`)

// helpOf returns what authsignal-server -help prints: its flags, each with its
// variable if it has one; the variables without a flag; and the commands.
func helpOf(t *testing.T) (flags map[string]string, variables, commands []string) {
	t.Helper()
	var help bytes.Buffer
	if _, err := config.Parse([]string{"-help"}, config.NewEnv(nil), &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("-help: %v", err)
	}
	flags = map[string]string{}
	last := ""
	for line := range strings.Lines(help.String()) {
		if m := regexp.MustCompile(`^  (-[a-z-]+)`).FindStringSubmatch(line); m != nil {
			last = m[1]
			flags[last] = ""
		}
		if !strings.HasPrefix(line, " ") {
			last = ""
		}
		if m := regexp.MustCompile(`^(?:Usage:)? +authsignal-server (?:\[flags\] )?([a-z-]+)`).FindStringSubmatch(line); m != nil {
			commands = append(commands, m[1])
			continue
		}
		for _, v := range variable.FindAllString(line, -1) {
			if slices.Contains(variables, v) || slices.Contains(slices.Collect(maps.Values(flags)), v) || strings.HasSuffix(v, "_FILE") {
				continue // named again below the list
			}
			if last != "" {
				flags[last] = v
			} else {
				variables = append(variables, v)
			}
		}
	}
	if len(flags) < 10 || len(variables) < 4 || len(commands) < 4 {
		t.Fatalf("-help has %d flags, %d variables, %d commands", len(flags), len(variables), len(commands))
	}
	return flags, variables, commands
}

func TestTheConfigurationIsThatOfHelp(t *testing.T) {
	const page = "docs/configuration.md"
	flags, variables, commands := helpOf(t)
	documented, alone := map[string]string{}, []string{}
	for _, row := range rows(t, page, "The server") {
		if name := strings.Trim(row[0], "`"); name != "" {
			documented[name] = strings.Trim(row[1], "`")
		} else {
			alone = append(alone, strings.Trim(row[1], "`"))
		}
	}
	if !maps.Equal(documented, flags) {
		t.Errorf("flags and their variables: the page has %v, -help %v", documented, flags)
	}
	slices.Sort(alone)
	slices.Sort(variables)
	if !slices.Equal(alone, variables) {
		t.Errorf("variables without a flag: the page has %v, -help %v", alone, variables)
	}
	var listed []string
	for _, row := range rows(t, page, "Commands") {
		listed = append(listed, row[0])
	}
	for _, command := range commands {
		if !slices.ContainsFunc(listed, func(s string) bool { return strings.HasPrefix(s, "`authsignal-server "+command) }) {
			t.Errorf("%s does not have the command %s", page, command)
		}
	}
}

// No page names a flag or a variable that does not exist.
func TestFlagsAndVariablesExist(t *testing.T) {
	flags, variables, _ := helpOf(t)
	known := append(slices.Collect(maps.Values(flags)), variables...)
	env := config.NewEnv(nil)
	if _, err := config.Parse(nil, env, io.Discard); err != nil {
		t.Fatal(err)
	}
	known = append(append(known, env.Known()...),
		"AUTHSIGNAL_SERVER") // of docs/testing.md itself
	about := []string{"configuration", "operate", "portal", "webhooks", "prebuilt-ui", "http-api", "rules", "limits", "security", "moving", "backend"}
	for _, page := range pages(t) {
		text := read(t, page)
		for _, v := range variable.FindAllString(strings.ReplaceAll(text, `"event":"AUTHSIGNAL_`, ""), -1) {
			if !slices.Contains(known, v) && !strings.HasPrefix(v, "AUTHSIGNAL_TEST_") {
				t.Errorf("%s: there is no variable %s", page, v)
			}
		}
		if !slices.Contains(about, strings.TrimSuffix(path.Base(page), ".md")) {
			continue
		}
		for _, m := range regexp.MustCompile("`(-[a-z-]+)").FindAllStringSubmatch(text, -1) {
			if _, ok := flags[m[1]]; !ok && !slices.Contains([]string{"-help", "-step", "-tenant", "-dry-run", "-skip-bad", "-json"}, m[1]) {
				t.Errorf("%s: there is no flag %s", page, m[1])
			}
		}
	}
}

// constants returns the constants of a package that are strings, by name.
func constants(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range dirs {
		for _, f := range parse(t, dir) {
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.CONST {
					continue
				}
				for _, s := range g.Specs {
					v := s.(*ast.ValueSpec)
					for i, name := range v.Names {
						if i >= len(v.Values) {
							continue
						}
						if text, ok := textOf(v.Values[i], all); ok {
							all[name.Name] = text
						}
					}
				}
			}
		}
	}
	return all
}

// parse reads the Go files of a folder, without tests.
func parse(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// textOf returns the value of an expression of strings and their constants.
func textOf(e ast.Expr, constants map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		s, ok := constants[e.Name]
		return s, ok
	case *ast.SelectorExpr:
		return textOf(e.Sel, constants)
	case *ast.BinaryExpr:
		x, ok := textOf(e.X, constants)
		y, ok2 := textOf(e.Y, constants)
		return x + y, ok && ok2
	}
	return "", false
}

// code is an error code in a table's cell.
var code = regexp.MustCompile("^`(\\w+)`$")

// codesOf returns the codes in the first column of a table.
func codesOf(t *testing.T, page, heading string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, row := range rows(t, page, heading) {
		m := code.FindStringSubmatch(row[0])
		if m == nil {
			t.Errorf("%s: %q is not one code", page, row[0])
			continue
		}
		all[m[1]] = true
	}
	return all
}

func TestErrorCodesAreDocumented(t *testing.T) {
	api, browser := codesOf(t, "docs/http-api.md", "Errors"), codesOf(t, "docs/browser-sdk.md", "Errors")
	known := map[string]bool{}
	for name, value := range constants(t, "internal/api") {
		if !strings.HasPrefix(name, "Code") {
			continue
		}
		known[value] = true
		if !api[value] && !browser[value] && !strings.Contains(read(t, "docs/browser-sdk.md"), "`"+value+"`") {
			t.Errorf("the code %s is not documented", value)
		}
	}
	_, list, _ := strings.Cut(read(t, "js/src/errors.ts"), "export const ErrorCode: {")
	list, _, _ = strings.Cut(list, "} = ")
	wrapper := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  readonly (\w+): "(\w+)";$`).FindAllStringSubmatch(list, -1) {
		wrapper[m[2]] = true
	}
	if len(known) < 10 || len(wrapper) < 10 {
		t.Fatalf("found %d and %d codes", len(known), len(wrapper))
	}
	if !maps.Equal(browser, wrapper) {
		t.Errorf("docs/browser-sdk.md has %v, js/src/errors.ts %v", slices.Sorted(maps.Keys(browser)), slices.Sorted(maps.Keys(wrapper)))
	}
	for c := range api {
		if !known[c] {
			t.Errorf("docs/http-api.md has the code %s, which internal/api lacks", c)
		}
	}
}

var (
	parameter = regexp.MustCompile(`\{[^}]*\}`)
	// request is a method, or a method and a path, in code.
	request = regexp.MustCompile("`(GET|POST|PUT|PATCH|DELETE)(?: (/[^`]*))?`")
)

// Every route is documented, and every documented one exists.
func TestRoutesAreDocumented(t *testing.T) {
	names := constants(t, "internal/api", "internal/server")
	routes := map[string]bool{}
	for _, f := range parse(t, "internal/server") {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "routes" && fn.Name.Name != "managementRoutes" {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				kv, ok := n.(*ast.KeyValueExpr)
				if !ok {
					return true
				}
				methods, ok := kv.Value.(*ast.CompositeLit)
				if !ok {
					return true
				}
				where, ok := textOf(kv.Key, names)
				if !ok {
					t.Errorf("a path of %s cannot be read", fn.Name.Name)
				}
				for _, m := range methods.Elts {
					method, _ := textOf(m.(*ast.KeyValueExpr).Key, names)
					routes[method+" "+parameter.ReplaceAllString(where, "{}")] = true
				}
				return false
			})
		}
	}
	if len(routes) < 35 {
		t.Fatalf("found %d routes", len(routes))
	}

	documented := map[string]bool{}
	_, prose := split("docs/http-api.md", read(t, "docs/http-api.md"))
	prefix := ""
	for _, line := range prose {
		if strings.HasPrefix(line, "#") {
			prefix = ""
		}
		if strings.Contains(line, "after `/v1/management`") {
			prefix = "/v1/management"
		}
		var methods []string
		for _, m := range request.FindAllStringSubmatch(line, -1) {
			methods = append(methods, m[1])
			if m[2] == "" {
				continue // the path follows its last method
			}
			where, _, _ := strings.Cut(m[2], "?")
			for _, method := range methods {
				documented[method+" "+prefix+parameter.ReplaceAllString(where, "{}")] = true
			}
			methods = nil
		}
	}
	for route := range routes {
		if !documented[route] {
			t.Errorf("docs/http-api.md does not have %s", route)
		}
	}
	for route := range documented {
		if !routes[route] {
			t.Errorf("docs/http-api.md has %s, which does not exist", route)
		}
	}
}

// The plan of rooms has every room: those of the table in wasm/walls_test.go.
func TestThePlanHasEveryRoom(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "wasm/walls_test.go"), "var rooms = map[string][]string{")
	table, _, _ = strings.Cut(table, "\n}\n")
	var rooms []string
	for _, m := range regexp.MustCompile(`(?m)^\t"([^"]+)": `).FindAllStringSubmatch(table, -1) {
		rooms = append(rooms, m[1])
	}
	if len(rooms) < 20 {
		t.Fatalf("found %d rooms", len(rooms))
	}
	plan := blocksOf(t, "docs/architecture.md", "Rooms", "")[0]
	for _, room := range rooms {
		// A room inside another one is part of it.
		inside := slices.ContainsFunc(rooms, func(other string) bool { return strings.HasPrefix(room, other+"/") && other != "wasm" })
		if !inside && !regexp.MustCompile(`(?m)(^|[\s(])`+regexp.QuoteMeta(room)+`/?($|[\s,])`).MatchString(plan) {
			t.Errorf("the plan of docs/architecture.md does not have %s", room)
		}
	}
}
