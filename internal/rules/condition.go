package rules

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Limits of a condition. See also those of its regular expressions, and the
// budget of a decision.
const (
	// MaxLength is the longest condition, in bytes. It is checked before the
	// condition is parsed.
	MaxLength = 4096

	// maxDepth is how deep parentheses, lists, calls and operators may nest.
	maxDepth = 64
	// maxLoops is how deep macros such as exists may nest, in their lists too,
	// and maxLiterals is that of the literals of lists and maps and of calls
	// of type. Deeper types take the compiler seconds.
	maxLoops, maxLiterals = 8, 8
	// maxNodes is the size of the syntax tree, macros expanded.
	maxNodes = 10_000
)

// An Error says why a condition does not compile.
type Error struct {
	// Line and Column are where: from 1, the column in characters (Unicode
	// code points). Both are 0 when it concerns the condition as a whole.
	Line, Column int
	// Message says what is wrong, and what to write instead.
	Message string
}

// Error gives the position and the message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// A Reason says why a rule could not be evaluated. It contains no value of the
// input.
type Reason string

// The reasons for a Failure.
const (
	NotCompiled    Reason = "the condition does not compile"
	NoSuchKey      Reason = "the input has no such key"
	WrongType      Reason = "a value has the wrong type"
	CostExceeded   Reason = "the rules of the action cost too much"
	MemoryExceeded Reason = "the rules of the action make too many texts and lists"
	TimeExceeded   Reason = "the rules of the action take too long"
	TextTooLong    Reason = "a text of the input is too long"
	ValueTooLong   Reason = "a text that the condition makes is too long"
	NotParsed      Reason = "a text is not the number, time, duration, address or network that it should be"
	UnknownZone    Reason = "a time zone does not exist"
	OutOfRange     Reason = "a position is outside of the text or list"
	DividedByZero  Reason = "a number is divided by zero"
	NumberTooLarge Reason = "a number or time is too large"
	NotWhole       Reason = "a number is not whole"
	Panicked       Reason = "the evaluation panicked"
	// EvaluationError is any other.
	EvaluationError Reason = "the evaluation failed"
)

// A Condition is compiled CEL. It is safe for concurrent use.
type Condition struct {
	program cel.Program
	needs   Lookups
	// size is the number of nodes of the syntax tree and of instructions of
	// regular expressions.
	size int
}

// nodes returns the size of a condition; that of one that does not compile
// is 1.
func (c *Condition) nodes() int {
	if c == nil {
		return 1
	}
	return c.size
}

// environment is what conditions are written in: CEL's standard library with
// its macros, the string functions and the network functions of cel-go, each
// at a fixed version, so that an update of the module changes no condition's
// meaning. Of their functions those in functionTable are available.
var environment = sync.OnceValues(func() (*environ, error) {
	// cel-go v0.33.2 labels an error with the place where it arose, even the
	// two errors that all evaluations share, unless it has a label: give them
	// one before evaluations race for it.
	types.LabelErrNode(-1, types.NoSuchOverloadErr())
	types.LabelErrNode(-1, types.Int(math.MaxInt64).ConvertToType(types.TimestampType)) // overflow
	return newEnvironment()
})

func newEnvironment() (*environ, error) {
	tags := types.ParseStructTag("cel")
	e := &environ{}
	var err error
	e.Env, err = cel.NewEnv(
		cel.Types(
			cel.NativeTypeFor[User](tags, cel.NativeTypeAlias("User")),
			cel.NativeTypeFor[Action](tags, cel.NativeTypeAlias("Action")),
			cel.NativeTypeFor[Device](tags, cel.NativeTypeAlias("Device")),
			cel.NativeTypeFor[Counts](tags, cel.NativeTypeAlias("Counts")),
		),
		cel.Variable("user", cel.ObjectType("User")),
		cel.Variable("action", cel.ObjectType("Action")),
		cel.Variable("ip", cel.StringType),
		cel.Variable("userAgent", cel.StringType),
		cel.Variable("device", cel.ObjectType("Device")),
		cel.Variable("custom", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("counts", cel.ObjectType("Counts")),
		mixed(operators.Add),
		mixed(operators.Subtract),
		mixed(operators.Multiply),
		mixed(operators.Divide),
		mixed(operators.Modulo),
		ext.Strings(ext.StringsVersion(5)),
		ext.Network(ext.NetworkVersion(1)),
		cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(MaxLength),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ASTValidators(
			replaced("cel.validator.network.ip"),
			replaced("cel.validator.network.cidr"),
		),
	)
	if err != nil {
		return nil, err
	}
	// cel-go v0.33.2 makes its catalog of names, which it suggests in place of
	// an unknown one, at the first unknown name, and without a lock against the
	// checks that then begin a comprehension: have it made before there are any.
	parsed, issues := e.Parse("unknown")
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	e.Check(parsed)
	e.implementations, err = implementationsOf(e.Env)
	return e, err
}

// mixed declares an operator for a double and an integer, which CEL lacks: the
// numbers of custom are doubles, and literals such as 1 are integers. Its
// result is dyn, which all numbers can be compared with.
func mixed(operator string) cel.EnvOption {
	var overloads []cel.FunctionOpt
	for _, integer := range []*cel.Type{cel.IntType, cel.UintType} {
		overloads = append(overloads,
			cel.Overload(operator+"double_"+integer.String(), []*cel.Type{cel.DoubleType, integer}, cel.DynType),
			cel.Overload(operator+integer.String()+"_double", []*cel.Type{integer, cel.DoubleType}, cel.DynType))
	}
	if operator == operators.Modulo {
		overloads = append(overloads, cel.Overload(operator+"double", []*cel.Type{cel.DoubleType, cel.DoubleType}, cel.DynType))
	}
	return cel.Function(operator, overloads...)
}

// Compile compiles a condition: at most MaxLength bytes of UTF-8, CEL that yields a
// boolean. Its error is an *Error.
// It never panics.
func Compile(condition string) (c *Condition, err error) {
	if len(condition) > MaxLength {
		return nil, &Error{Message: fmt.Sprintf("the condition is longer than %d bytes", MaxLength)}
	}
	if !utf8.ValidString(condition) {
		return nil, &Error{Message: "the condition is not UTF-8"}
	}
	if strings.TrimSpace(condition) == "" {
		return nil, &Error{Message: "the condition is empty"}
	}
	defer func() {
		if recover() != nil {
			c, err = nil, &Error{Message: "the condition cannot be compiled"}
		}
	}()
	env, err := environment()
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	parsed, issues := env.Parse(condition)
	if len(issues.Errors()) > 0 { // Err makes a text of all of them
		return nil, firstError(issues)
	}
	if err := checkNesting(parsed.NativeRep()); err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if len(issues.Errors()) > 0 {
		return nil, firstError(issues)
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("the condition must be a boolean, not %s", cel.FormatCELType(t))}
	}
	tree := checked.NativeRep()
	p := &planner{environ: env}
	if p.patterns, err = checkCalls(env, tree); err != nil {
		return nil, err
	}
	program, err := env.Program(checked, cel.CustomDecoratorV2(p.decorate))
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	size := len(tree.TypeMap())
	for _, patterns := range p.patterns {
		for _, pattern := range patterns {
			size += pattern.size
		}
	}
	return &Condition{program: program, needs: lookups(tree.Expr()), size: size}, nil
}

// checkNesting returns an error if something nests deeper than maxLoops or
// maxLiterals.
func checkNesting(a *ast.AST) error {
	var visit func(e ast.NavigableExpr, loops, literals int) error
	visit = func(e ast.NavigableExpr, loops, literals int) error {
		switch e.Kind() {
		case ast.ComprehensionKind:
			loops++
		case ast.CallKind:
			if e.AsCall().FunctionName() == "type" {
				literals++
			}
		case ast.ListKind, ast.MapKind:
			literals++
		}
		if loops > maxLoops {
			return errorAt(a, e.ID(), "macros such as exists nest deeper than %d", maxLoops)
		}
		if literals > maxLiterals {
			return errorAt(a, e.ID(), "lists and maps nest deeper than %d", maxLiterals)
		}
		for _, child := range e.Children() {
			if err := visit(child, loops, literals); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(ast.NavigateAST(a), 0, 0)
}

// firstError returns the first issue by its position in the text. Issues without a
// position, such as that there are too many errors, come last.
func firstError(issues *cel.Issues) *Error {
	var first *Error
	for _, issue := range issues.Errors() {
		e := &Error{
			Line:    max(issue.Location.Line(), 0),
			Column:  max(issue.Location.Column()+1, 1),
			Message: strings.ReplaceAll(issue.Message, " (in container '')", ""),
		}
		if e.Line == 0 {
			e.Column = 0
		}
		if first == nil || e.Line > 0 && (first.Line == 0 || e.Line < first.Line || e.Line == first.Line && e.Column < first.Column) {
			first = e
		}
	}
	return first
}

// lookups finds what an expression reads of device and counts. A use as a
// whole, such as dyn(counts), counts as a use of every field.
func lookups(e ast.Expr) Lookups {
	var l Lookups
	operands := map[int64]bool{}
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			s := e.AsSelect()
			if s.Operand().Kind() != ast.IdentKind {
				return
			}
			operands[s.Operand().ID()] = true
			switch s.Operand().AsIdent() + "." + s.FieldName() {
			case "device.isNew":
				l.DeviceIsNew = true
			case "counts.actionsLastHour", "counts.actionsLastDay":
				l.ActionCounts = true
			case "counts.failuresLastHour", "counts.failuresLastDay":
				l.FailureCounts = true
			}
		case ast.IdentKind:
			if operands[e.ID()] {
				return
			}
			switch e.AsIdent() {
			case "device":
				l.DeviceIsNew = true
			case "counts":
				l.ActionCounts, l.FailureCounts = true, true
			}
		}
	}))
	return l
}

// eval evaluates a condition; a reason says that it could not.
func (c *Condition) eval(vars *activation) (matched bool, reason Reason) {
	if c == nil || c.program == nil {
		return false, NotCompiled
	}
	if r := vars.budget.exceeded; r != "" {
		return false, r
	}
	defer func() {
		if recover() != nil {
			matched, reason = false, Panicked
		}
	}()
	value, _, err := c.program.Eval(vars)
	if r := vars.budget.exceeded; r != "" {
		return false, r
	}
	if err != nil {
		return false, reasonOf(err)
	}
	b, ok := value.(types.Bool)
	if !ok {
		return false, WrongType
	}
	return bool(b), ""
}

// reasonOf returns the reason of an error. The messages of cel-go quote values
// of the input; only their beginnings are fixed.
func reasonOf(err error) Reason {
	var own reasonError
	if errors.As(err, &own) {
		return Reason(own)
	}
	message := err.Error()
	for _, known := range []struct {
		prefix string
		reason Reason
	}{
		{"no such overload", WrongType},
		{"no such key", NoSuchKey},
		{"index out of", OutOfRange},
		{"invalid substring range", OutOfRange},
		{"invalid syntax: index", OutOfRange},
		{"integer overflow", NumberTooLarge},
		{"unsigned integer overflow", NumberTooLarge},
		{"timestamp overflow", NumberTooLarge},
		{"internal error", Panicked},
	} {
		if strings.HasPrefix(message, known.prefix) {
			return known.reason
		}
	}
	return EvaluationError
}
