package rules

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Limits of the regular expressions of a condition.
const (
	// maxRegexp is the size of the program that a regular expression compiles
	// to, in instructions. On the longest text of an input its match costs two
	// thirds of MaxCost, and takes 1 to 3 ms.
	maxRegexp = 250
	// maxRegexps is that of all of them.
	maxRegexps = 1000
	// maxClasses is how many Unicode classes such as \pL they may have. A
	// range to a character that is not ASCII counts as one too, and as four in
	// a pattern with flags: with the flag i, to compile a range can take 4 ms.
	maxClasses = 8
)

// checkCalls refuses calls that conditions cannot make, and literals that fail
// whenever they are evaluated. It returns the condition's regular expressions,
// by the id of the call of matches.
func checkCalls(env *environ, a *ast.AST) (map[int64]patterns, error) {
	all := map[int64]patterns{}
	regexps, classes := 0, 0
	for _, e := range ast.MatchDescendants(ast.NavigateAST(a), ast.AllMatcher()) {
		if e.Kind() == ast.StructKind {
			return nil, errorAt(a, e.ID(), "a condition cannot make a value of type %s", e.AsStruct().TypeName())
		}
		if e.Kind() != ast.CallKind {
			continue
		}
		name := e.AsCall().FunctionName()
		f, ok := functionTable[name]
		if !ok {
			return nil, errorAt(a, e.ID(), "the function %s is not available in conditions", name)
		}
		if f.parses == "" && name != overloads.Matches {
			continue
		}
		args := e.Children() // the receiver first
		last := args[len(args)-1]
		texts, ok := literals(last)
		if name != overloads.Matches {
			for _, text := range texts {
				if !parses(env, name, text.text) {
					return nil, errorAt(a, text.id, "invalid %s argument: it must be %s", name, f.parses)
				}
			}
			continue
		}
		if !ok {
			return nil, errorAt(a, last.ID(), `the pattern of matches must be a literal; join alternatives in one pattern, such as "curl|wget"`)
		}
		all[e.ID()] = patterns{}
		for _, text := range texts {
			if _, ok := all[e.ID()][text.text]; ok {
				continue
			}
			if classes += unicodeClasses(text.text); classes > maxClasses {
				return nil, errorAt(a, text.id, "invalid matches argument: the condition has more than %d Unicode classes and ranges; a range counts as 4 in a pattern with flags", maxClasses)
			}
			p, err := compilePattern(text.text)
			if err != nil {
				return nil, errorAt(a, text.id, "invalid matches argument: it must be a regular expression in the syntax of RE2")
			}
			if p.size > maxRegexp {
				return nil, errorAt(a, text.id, "invalid matches argument: its program size exceeds limit of %d; use fewer characters and smaller repetitions", maxRegexp)
			}
			if regexps += p.size; regexps > maxRegexps {
				return nil, errorAt(a, text.id, "invalid matches argument: the program size of all regular expressions of the condition exceeds limit of %d", maxRegexps)
			}
			all[e.ID()][text.text] = p
		}
	}
	return all, nil
}

// errorAt returns an error at a node of the syntax tree.
func errorAt(a *ast.AST, id int64, format string, args ...any) error {
	at := a.SourceInfo().GetStartLocation(id)
	return &Error{Line: max(at.Line(), 0), Column: max(at.Column()+1, 1), Message: fmt.Sprintf(format, args...)}
}

// A replaced is the name of a validator of cel-go that is switched off: its
// errors quote the literal, and checkCalls checks the same.
type replaced string

// Name implements cel.ASTValidator.
func (r replaced) Name() string { return string(r) }

// Validate implements cel.ASTValidator.
func (replaced) Validate(*cel.Env, cel.ValidatorConfig, *ast.AST, *cel.Issues) {}

// A literal is a text literal of a condition.
type literal struct {
	id   int64
	text string
}

// literals returns the texts that an expression can be: a text literal, or the
// variable of a macro over a list of them.
func literals(e ast.NavigableExpr) ([]literal, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		if s, ok := e.AsLiteral().(types.String); ok {
			return []literal{{e.ID(), string(s)}}, true
		}
	case ast.IdentKind:
		name, child := e.AsIdent(), e
		for {
			parent, ok := child.Parent()
			if !ok {
				return nil, false
			}
			if parent.Kind() == ast.ComprehensionKind {
				c := parent.AsComprehension()
				if c.IterVar() == name && c.IterRange().ID() != child.ID() {
					return literalList(c.IterRange())
				}
			}
			child = parent
		}
	}
	return nil, false
}

// literalList returns the elements of a list, if all are text literals.
func literalList(e ast.Expr) ([]literal, bool) {
	if e.Kind() != ast.ListKind {
		return nil, false
	}
	var all []literal
	for _, element := range e.AsList().Elements() {
		if element.Kind() != ast.LiteralKind {
			return nil, false
		}
		s, ok := element.AsLiteral().(types.String)
		if !ok {
			return nil, false
		}
		all = append(all, literal{element.ID(), string(s)})
	}
	return all, true
}

// parses reports whether the text literal is one that the function takes.
func parses(env *environ, name, text string) bool {
	if len(text) > maxParsed {
		return false
	}
	switch {
	case strings.HasPrefix(name, "get"):
		value := inZone(newBudget(), bind(name, "", nil), []ref.Val{types.Timestamp{}, types.String(text)})
		return !types.IsError(value)
	case name == "containsIP" || name == "isIP":
		name = "ip"
	case name == "containsCIDR" || name == "isCIDR":
		name = "cidr"
	}
	return !types.IsError(bind(name, "", env.implementations[name])([]ref.Val{types.String(text)}))
}

// unicodeClasses counts the Unicode classes of a regular expression, and the
// ranges whose end is not ASCII or is escaped: as maxClasses does.
func unicodeClasses(pattern string) int {
	n, weight := strings.Count(pattern, `\p`)+strings.Count(pattern, `\P`), 1
	if strings.Contains(pattern, "(?") {
		weight = 4
	}
	for rest := pattern; ; {
		var found bool
		if _, rest, found = strings.Cut(rest, "-"); !found {
			return n
		}
		if rest != "" && (rest[0] == '\\' || rest[0] >= utf8.RuneSelf) {
			n += weight
		}
	}
}

// compilePattern compiles a regular expression, unless its size is more than
// maxRegexp.
func compilePattern(text string) (pattern, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return pattern{}, err
	}
	if n := instructions(tree); n > 4*maxRegexp {
		return pattern{size: n}, nil // takes too long to compile
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil || len(program.Inst) > maxRegexp {
		return pattern{size: len(program.Inst)}, err
	}
	r, err := regexp.Compile(text)
	return pattern{r, len(program.Inst)}, err
}

// instructions estimates the size of the program of a regular expression.
func instructions(e *syntax.Regexp) int {
	n := 1 + len(e.Rune)/2
	if e.Op == syntax.OpLiteral {
		n = len(e.Rune)
	} else if e.Op == syntax.OpCharClass {
		n = 1
	}
	for _, sub := range e.Sub {
		n += instructions(sub)
	}
	if e.Op == syntax.OpRepeat {
		n *= max(e.Min, e.Max, 1)
	}
	return n
}
