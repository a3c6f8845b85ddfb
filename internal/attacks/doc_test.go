package attacks

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The table in the package's comment names every test, and no other.
func TestTheTableOfThreatsIsWhole(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var listed, written []string
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if name == "doc.go" {
			listed = regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(f.Doc.Text(), -1)
		}
		if name == "doc_test.go" || strings.HasPrefix(name, "model_") {
			continue
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") && fn.Name.Name != "TestMain" {
				written = append(written, fn.Name.Name)
			}
		}
	}
	slices.Sort(listed)
	slices.Sort(written)
	if !slices.Equal(listed, written) {
		t.Errorf("the table lists\n%v\nand the tests are\n%v", listed, written)
	}
}
