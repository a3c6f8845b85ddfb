package attacks

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The page about security names all tests of this package, and no others.
func TestTheThreatsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") && fn.Name.Name != "TestMain" && name != "doc_test.go" {
				written = append(written, fn.Name.Name)
			}
		}
	}
	named := regexp.MustCompile("`(Test[A-Z]\\w+)`").FindAllStringSubmatch(string(page), -1)
	var listed []string
	for _, m := range named {
		listed = append(listed, m[1])
	}
	slices.Sort(listed)
	slices.Sort(written)
	if listed = slices.Compact(listed); !slices.Equal(listed, written) {
		t.Errorf("the page names\n%v\nand the tests are\n%v", listed, written)
	}
	script, err := os.ReadFile("../../js/test/package/attacks.test.mjs")
	if err != nil {
		t.Fatal(err)
	}
	titles := regexp.MustCompile(`\*([a-z][^*|]{20,})\*`).FindAllStringSubmatch(string(page), -1)
	if len(titles) < 5 {
		t.Fatalf("the page names %d tests in a browser", len(titles))
	}
	for _, m := range titles {
		if !strings.Contains(string(script), m[1]) {
			t.Errorf("the page names %q, which is not a test in a browser", m[1])
		}
	}
}
