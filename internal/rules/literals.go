package rules

import (
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
	// range of characters that are not ASCII counts as four: regexp folds its
	// case one by one, which takes up to 2 ms.
	maxClasses = 16
)

// A literalValidator refuses literals that fail whenever they are evaluated,
// and functions that conditions cannot call.
type literalValidator struct{ env *environ }

// Name implements cel.ASTValidator.
func (literalValidator) Name() string { return "rules.literals" }

// Validate implements cel.ASTValidator.
func (v literalValidator) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	var regexps, classes int
	for _, e := range ast.MatchDescendants(ast.NavigateAST(a), ast.AllMatcher()) {
		if e.Kind() == ast.StructKind {
			issues.ReportErrorAtID(e.ID(), "a condition cannot make values of type %s", e.AsStruct().TypeName())
			continue
		}
		if e.Kind() != ast.CallKind {
			continue
		}
		name := e.AsCall().FunctionName()
		f, ok := functionTable[name]
		if !ok {
			issues.ReportErrorAtID(e.ID(), "the function %s is not available in conditions", name)
			continue
		}
		args := e.Children()
		last := args[len(args)-1]
		switch {
		case name == overloads.Matches:
			texts, ok := literals(last)
			if !ok {
				issues.ReportErrorAtID(last.ID(), "the pattern of matches must be a literal; join alternatives in one pattern, such as \"curl|wget\"")
				continue
			}
			for _, text := range texts {
				size, wide, err := patternSize(text.text)
				regexps, classes = regexps+size, classes+wide
				switch {
				case classes > maxClasses:
					issues.ReportErrorAtID(text.id, "invalid matches argument: the condition has too many Unicode classes and ranges; at most %d classes, or %d ranges, are allowed", maxClasses, maxClasses/4)
				case err != nil:
					issues.ReportErrorAtID(text.id, "invalid matches argument: it must be a regular expression in the syntax of RE2")
				case size > maxRegexp:
					issues.ReportErrorAtID(text.id, "invalid matches argument: its program size exceeds limit of %d; use fewer characters and smaller repetitions", maxRegexp)
				case regexps > maxRegexps:
					issues.ReportErrorAtID(text.id, "invalid matches argument: the program size of all regular expressions of the condition exceeds limit of %d", maxRegexps)
				}
			}
		case f.parses != "":
			texts, _ := literals(last)
			for _, text := range texts {
				if !parses(v.env, name, text.text) {
					issues.ReportErrorAtID(text.id, "invalid %s argument: it must be %s", name, f.parses)
				}
			}
		}
	}
}

// A replaced is the name of a validator of cel-go that is switched off: its
// errors quote the literal, and a literalValidator checks the same.
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

// patternSize parses a regular expression. It returns the number of its
// program's instructions, or a larger one, and how many Unicode classes it
// has. If these are more than maxClasses it is not parsed.
func patternSize(pattern string) (size, classes int, err error) {
	classes = strings.Count(pattern, `\p`) + strings.Count(pattern, `\P`)
	for rest := pattern; ; {
		var found bool
		if _, rest, found = strings.Cut(rest, "-"); !found {
			break
		}
		if strings.HasPrefix(rest, `\`) || rest != "" && rest[0] >= utf8.RuneSelf {
			classes += 4
		}
	}
	if classes > maxClasses {
		return 0, classes, nil
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, classes, err
	}
	if size = instructions(tree); size > 4*maxRegexp {
		return size, classes, nil // too large to compile
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0, classes, err
	}
	return len(program.Inst), classes, nil
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

// compilePatterns compiles the regular expressions of a condition that the
// literalValidator has passed.
func compilePatterns(a *ast.AST) (map[int64]patterns, error) {
	calls := map[int64]patterns{}
	for _, e := range ast.MatchDescendants(ast.NavigateAST(a), ast.FunctionMatcher(overloads.Matches)) {
		args := e.Children()
		texts, _ := literals(args[len(args)-1])
		all := patterns{}
		for _, text := range texts {
			r, err := regexp.Compile(text.text)
			if err != nil {
				return nil, err
			}
			size, err := types.RegexProgramSize(text.text)
			if err != nil {
				return nil, err
			}
			all[text.text] = pattern{r, size}
		}
		calls[e.ID()] = all
	}
	return calls, nil
}
