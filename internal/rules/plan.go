package rules

import (
	"regexp"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// budgetName is the name under which an activation has its budget. No variable
// of CEL can be called so.
const budgetName = "@budget"

// budgetOf returns the budget of an evaluation.
func budgetOf(vars interpreter.Activation) *budget {
	b, _ := vars.ResolveName(budgetName)
	return b.(*budget) // every evaluation has one
}

// An environ is what conditions are written in.
type environ struct {
	*cel.Env
	// implementations are the functions of the environment by the names of
	// their overloads and by their own.
	implementations map[string]*functions.Overload
}

// A planner replaces the steps of cel-go's program by steps that spend the
// decision's budget.
type planner struct {
	*environ
	// patterns are the compiled regular expressions of the condition, by the
	// id of the call of matches.
	patterns map[int64]patterns
}

// patterns are the regular expressions that a call of matches may use.
type patterns map[string]pattern

type pattern struct {
	*regexp.Regexp
	// size is the number of instructions.
	size int
}

// implementationsOf lists the functions of an environment.
func implementationsOf(env *cel.Env) (map[string]*functions.Overload, error) {
	all := map[string]*functions.Overload{}
	for _, f := range env.Functions() {
		bindings, err := f.Bindings()
		if err != nil {
			return nil, err
		}
		for _, o := range bindings {
			all[o.Operator] = o
		}
	}
	return all, nil
}

// decorate implements interpreter.InterpretableDecoratorV2.
func (p *planner) decorate(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch i := i.(type) {
	case interpreter.InterpretableConst, *attribute:
		return i, nil
	case interpreter.InterpretableAttribute:
		return &attribute{InterpretableAttribute: i, weight: 1}, nil
	case interpreter.InterpretableCall:
		return p.call(i), nil
	case interpreter.InterpretableConstructor:
		return p.constructor(i)
	}
	// An operator && or ||, or a macro.
	return &step{i}, nil
}

// A step is any step that has no text or list of its own.
type step struct{ interpreter.InterpretableV2 }

func (s *step) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	budgetOf(frame).spend(1, 0)
	return s.InterpretableV2.Exec(frame)
}

func (s *step) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, s.Exec)
}

// An attribute is a variable with its fields and indexes, or the operator ?:.
type attribute struct {
	interpreter.InterpretableAttribute
	// weight is what it costs.
	weight int
}

func (a *attribute) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	b := budgetOf(frame)
	b.spend(a.weight, 0)
	value := a.InterpretableAttribute.Exec(frame)
	if types.IsError(value) {
		b.spend(5, 0)
	}
	return value
}

func (a *attribute) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, a.Exec)
}

// Attr implements interpreter.InterpretableAttribute. The operator ?: resolves
// its branches by it, without Exec.
func (a *attribute) Attr() interpreter.Attribute { return a }

func (a *attribute) Resolve(vars interpreter.Activation) (any, error) {
	budgetOf(vars).spend(a.weight, 0)
	return a.InterpretableAttribute.Resolve(vars)
}

func (a *attribute) Qualify(vars interpreter.Activation, obj any) (any, error) {
	budgetOf(vars).spend(a.weight, 0)
	return a.InterpretableAttribute.Qualify(vars, obj)
}

func (a *attribute) QualifyIfPresent(vars interpreter.Activation, obj any, presenceOnly bool) (any, bool, error) {
	budgetOf(vars).spend(a.weight, 0)
	return a.InterpretableAttribute.QualifyIfPresent(vars, obj, presenceOnly)
}

// indexCost is what an index costs that is not a literal: the hash of a text
// of maxMade bytes, and what cel-go makes to look it up.
const indexCost = 20

func (a *attribute) AddQualifier(q interpreter.Qualifier) (interpreter.Attribute, error) {
	if _, ok := q.(interpreter.ConstantQualifier); ok {
		a.weight++
	} else {
		a.weight += indexCost
	}
	_, err := a.InterpretableAttribute.AddQualifier(q)
	return a, err
}

// A call is a call of a function or an operator whose arguments are evaluated
// first.
type call struct {
	id   int64
	args []interpreter.InterpretableV2
	// do calls the function, function.call is what it costs.
	do op
	function
}

// call plans a call.
func (p *planner) call(i interpreter.InterpretableCall) interpreter.InterpretableV2 {
	name, args := i.Function(), i.Args()
	switch name {
	case operators.NotStrictlyFalse:
		return &step{i} // takes errors, too
	case overloads.Matches:
		return &match{id: i.ID(), args: args, patterns: p.patterns[i.ID()]}
	case operators.In:
		if list, ok := args[1].(interpreter.InterpretableConst); ok {
			if m := newMembership(i.ID(), args[0], list.Value()); m != nil {
				return m
			}
		}
	}
	c := &call{id: i.ID(), args: args, function: functionTable[name]}
	switch name {
	case operators.Equals:
		c.do = func(args []ref.Val) ref.Val { return types.Equal(args[0], args[1]) }
	case operators.NotEquals:
		c.do = func(args []ref.Val) ref.Val { return types.Bool(types.Equal(args[0], args[1]) != types.True) }
	default:
		o := p.implementations[i.OverloadID()]
		if o == nil {
			o = p.implementations[name]
		}
		c.do = bind(name, i.OverloadID(), o)
	}
	if value, ok := c.literal(); ok {
		return interpreter.NewConstValue(i.ID(), value)
	}
	return c
}

// literal evaluates the parsing of a literal, such as cidr("10.0.0.0/8").
func (c *call) literal() (ref.Val, bool) {
	if c.parses == "" || len(c.args) != 1 {
		return nil, false
	}
	arg, ok := c.args[0].(interpreter.InterpretableConst)
	if !ok {
		return nil, false
	}
	value := c.do([]ref.Val{arg.Value()})
	return value, !types.IsError(value)
}

// ID implements interpreter.Interpretable.
func (c *call) ID() int64 { return c.id }

// Eval implements interpreter.Interpretable.
func (c *call) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, c.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (c *call) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	b := budgetOf(frame)
	b.spend(1, 0)
	args := make([]ref.Val, len(c.args))
	for i, arg := range c.args {
		if args[i] = arg.Exec(frame); types.IsUnknownOrError(args[i]) {
			return args[i]
		}
		if c.whole {
			if d, ok := args[i].(types.Double); ok {
				if whole, ok := toInt(d); ok {
					args[i] = whole
				}
			}
		}
	}
	var value ref.Val
	if c.function.call != nil {
		value = c.function.call(b, c.do, args)
	} else {
		value = c.do(args)
	}
	if types.IsError(value) {
		b.spend(5, 0)
		return types.LabelErrNode(c.id, value)
	}
	return value
}

// A match is a call of matches.
type match struct {
	id       int64
	args     []interpreter.InterpretableV2
	patterns patterns
}

// ID implements interpreter.Interpretable.
func (m *match) ID() int64 { return m.id }

// Eval implements interpreter.Interpretable.
func (m *match) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, m.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (m *match) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	b := budgetOf(frame)
	b.spend(2, 0)
	text := m.args[0].Exec(frame)
	if types.IsUnknownOrError(text) {
		return text
	}
	regexp := m.args[1].Exec(frame)
	if types.IsUnknownOrError(regexp) {
		return regexp
	}
	s, ok := text.(types.String)
	r, ok1 := regexp.(types.String)
	p, ok2 := m.patterns[string(r)]
	if !ok || !ok1 || !ok2 {
		return types.LabelErrNode(m.id, failed(WrongType))
	}
	b.spend(10+(len(s)+1)*p.size/16, 0)
	return types.Bool(p.MatchString(string(s)))
}

// A membership is the operator in with a list of literals.
type membership struct {
	id      int64
	element interpreter.InterpretableV2
	texts   map[types.String]bool
	// others are the elements that are not texts.
	others []ref.Val
}

// newMembership returns nil if the list has an element that is neither text,
// number nor boolean.
func newMembership(id int64, element interpreter.InterpretableV2, list ref.Val) *membership {
	l, ok := list.(traits.Lister)
	if !ok {
		return nil
	}
	m := &membership{id: id, element: element, texts: map[types.String]bool{}}
	for i := range size(l) {
		switch v := l.Get(types.Int(i)).(type) {
		case types.String:
			m.texts[v] = true
		case types.Bool, types.Int, types.Uint, types.Double:
			m.others = append(m.others, v)
		default:
			return nil
		}
	}
	return m
}

// ID implements interpreter.Interpretable.
func (m *membership) ID() int64 { return m.id }

// Eval implements interpreter.Interpretable.
func (m *membership) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, m.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (m *membership) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	b := budgetOf(frame)
	b.spend(1, 0)
	value := m.element.Exec(frame)
	switch v := value.(type) {
	case *types.Err, *types.Unknown:
		return value
	case types.String:
		b.spend(1+len(v)/32, 0)
		return types.Bool(m.texts[v])
	}
	b.spend(len(m.others)/4, 0)
	for _, other := range m.others {
		if types.Equal(other, value) == types.True {
			return types.True
		}
	}
	return types.False
}

// constructor plans a list or a map.
func (p *planner) constructor(i interpreter.InterpretableConstructor) (interpreter.InterpretableV2, error) {
	values := i.InitVals()
	literals := make([]ref.Val, 0, len(values))
	for _, v := range values {
		if c, ok := v.(interpreter.InterpretableConst); ok {
			literals = append(literals, c.Value())
		}
	}
	c := &constructor{id: i.ID(), values: values, adapter: p.CELTypeAdapter(), isMap: i.Type() == types.MapType}
	if len(literals) < len(values) {
		return c, nil
	}
	value := c.build(literals)
	if types.IsError(value) {
		return c, nil
	}
	return interpreter.NewConstValue(i.ID(), value), nil
}

// A constructor makes a list or a map. The values of a map are its keys and
// elements in turn.
type constructor struct {
	id      int64
	values  []interpreter.InterpretableV2
	adapter types.Adapter
	isMap   bool
}

// ID implements interpreter.Interpretable.
func (c *constructor) ID() int64 { return c.id }

// Eval implements interpreter.Interpretable.
func (c *constructor) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, c.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (c *constructor) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	b := budgetOf(frame)
	b.spend(1+len(c.values)/2, 64+48*len(c.values))
	values := make([]ref.Val, len(c.values))
	for i, v := range c.values {
		if values[i] = v.Exec(frame); types.IsUnknownOrError(values[i]) {
			return values[i]
		}
		if c.isMap && i%2 == 0 {
			b.spend(2+length(values[i])/32, 48)
		}
	}
	return c.build(values)
}

// build makes the list or the map of values.
func (c *constructor) build(values []ref.Val) ref.Val {
	if !c.isMap {
		return types.NewRefValList(c.adapter, values)
	}
	entries := make(map[ref.Val]ref.Val, len(values)/2)
	for i := 0; i < len(values); i += 2 {
		if !isKey(values[i]) {
			return types.LabelErrNode(c.id, failed(WrongType))
		}
		entries[values[i]] = values[i+1]
	}
	return types.NewRefValMap(c.adapter, entries)
}
