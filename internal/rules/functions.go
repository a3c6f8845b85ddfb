package rules

import (
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	// The zone files of the host may be missing.
	_ "time/tzdata"

	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// An op is the implementation of a function.
type op func(args []ref.Val) ref.Val

// A function is how conditions call a function of CEL. A function that is not
// in the table is not available.
type function struct {
	// call calls the function after it has spent what the call takes and
	// makes. If it is nil, a call takes no longer than any other step and
	// makes nothing of variable size.
	call func(b *budget, do op, args []ref.Val) ref.Val
	// parses is what the function's last argument, a text, must be: a literal
	// that it is not is refused when the condition is compiled.
	parses string
	// whole converts arguments that are whole doubles, as all numbers of
	// custom are, to integers.
	whole bool
}

// functionTable has every function that conditions may call, by the name in
// the syntax tree.
var functionTable = map[string]function{
	operators.LogicalAnd:       {},
	operators.LogicalOr:        {},
	operators.LogicalNot:       {},
	operators.Conditional:      {},
	operators.NotStrictlyFalse: {},
	operators.Index:            {},
	operators.Equals:           {call: equal},
	operators.NotEquals:        {call: equal},
	operators.In:               {call: contained},
	operators.Less:             {call: search},
	operators.LessEquals:       {call: search},
	operators.Greater:          {call: search},
	operators.GreaterEquals:    {call: search},
	operators.Add:              {call: add},
	operators.Subtract:         {call: arithmetic},
	operators.Multiply:         {call: arithmetic},
	operators.Divide:           {call: arithmetic},
	operators.Modulo:           {call: modulo},
	operators.Negate:           {},
	"bool":                     {call: parse, parses: `"true" or "false"`},
	"bytes":                    {call: copied},
	"double":                   {call: parse, parses: "a number"},
	"duration":                 {call: parse, parses: `a duration such as "90m" or "1h30m" (units h, m, s, ms)`},
	"dyn":                      {},
	"int":                      {call: parse, parses: "a whole number"},
	"size":                     {call: search},
	"string":                   {call: copied},
	"timestamp":                {call: parse, parses: `a time such as "2026-01-31T00:00:00Z"`, whole: true},
	"type":                     {},
	"uint":                     {call: parse, parses: "a whole number that is not negative"},
	"contains":                 {call: search},
	"endsWith":                 {call: search},
	"matches":                  {}, // see match
	"startsWith":               {call: search},
	"getDate":                  {call: inZone, parses: zoneHelp},
	"getDayOfMonth":            {call: inZone, parses: zoneHelp},
	"getDayOfWeek":             {call: inZone, parses: zoneHelp},
	"getDayOfYear":             {call: inZone, parses: zoneHelp},
	"getFullYear":              {call: inZone, parses: zoneHelp},
	"getHours":                 {call: inZone, parses: zoneHelp},
	"getMilliseconds":          {call: inZone, parses: zoneHelp},
	"getMinutes":               {call: inZone, parses: zoneHelp},
	"getMonth":                 {call: inZone, parses: zoneHelp},
	"getSeconds":               {call: inZone, parses: zoneHelp},
	"charAt":                   {call: runes, whole: true},
	"indexOf":                  {call: indexOf, whole: true},
	"join":                     {call: join},
	"lastIndexOf":              {call: indexOf, whole: true},
	"lowerAscii":               {call: runes},
	"replace":                  {call: replace, whole: true},
	"reverse":                  {call: runes},
	"split":                    {call: split, whole: true},
	"strings.quote":            {call: quote},
	"substring":                {call: runes, whole: true},
	"trim":                     {call: search},
	"upperAscii":               {call: runes},
	"cidr":                     {call: parse, parses: networkHelp},
	"containsCIDR":             {call: parse, parses: networkHelp},
	"containsIP":               {call: parse, parses: addressHelp},
	"family":                   {},
	"ip":                       {call: parse, parses: addressHelp},
	"ip.isCanonical":           {call: parse, parses: addressHelp},
	"isCIDR":                   {call: parse, parses: networkHelp},
	"isGlobalUnicast":          {},
	"isIP":                     {call: parse, parses: addressHelp},
	"isLinkLocalMulticast":     {},
	"isLinkLocalUnicast":       {},
	"isLoopback":               {},
	"isMask":                   {},
	"isUnspecified":            {},
	"masked":                   {},
	"prefixLength":             {},
}

const (
	zoneHelp    = `a time zone such as "Europe/Berlin" or "+02:00"`
	networkHelp = `a network such as "10.0.0.0/8" or "2001:db8::/32"`
	addressHelp = `an IP address such as "192.0.2.1" or "2001:db8::1"`
)

// maxParsed is the longest text that a function parses, in bytes. A zone, an
// address, a number or a time is shorter.
const maxParsed = 256

// failed is the value of an evaluation that failed for a reason of this
// package.
func failed(r Reason) ref.Val { return types.WrapErr(reasonError(r)) }

// A reasonError carries a Reason through cel-go.
type reasonError Reason

func (e reasonError) Error() string { return string(e) }

// bind returns the implementation of a function, or of one overload of it, in
// the way of cel-go's planner.
func bind(name, overload string, o *functions.Overload) op {
	return func(args []ref.Val) ref.Val {
		if o != nil && (o.OperandTrait == 0 || args[0].Type().HasTrait(o.OperandTrait)) {
			switch {
			case len(args) == 1 && o.Unary != nil:
				return o.Unary(args[0])
			case len(args) == 2 && o.Binary != nil:
				return o.Binary(args[0], args[1])
			case o.Function != nil:
				return o.Function(args...)
			}
		}
		if r, ok := args[0].(traits.Receiver); ok {
			return r.Receive(name, overload, args[1:])
		}
		return failed(WrongType)
	}
}

// search is for functions that read their texts once.
func search(b *budget, do op, args []ref.Val) ref.Val {
	n := 0
	for _, arg := range args {
		n += length(arg)
	}
	b.spend(n/32, 0)
	return do(args)
}

// runes is for functions that convert a text to code points and back. A byte
// that is not UTF-8 becomes U+FFFD, which has three.
func runes(b *budget, do op, args []ref.Val) ref.Val {
	n := length(args[0])
	if s, ok := args[0].(types.String); ok && 3*n > maxMade && !utf8.ValidString(string(s)) {
		return failed(ValueTooLong)
	}
	b.spend(n/8, 8*n)
	return do(args)
}

// copied is for conversions between text and bytes.
func copied(b *budget, do op, args []ref.Val) ref.Val {
	b.made(length(args[0]))
	return do(args)
}

func quote(b *budget, do op, args []ref.Val) ref.Val {
	n := length(args[0])
	if 3*n+2 > maxMade {
		return failed(ValueTooLong)
	}
	// Two texts grow by doubling, and the result is copied.
	b.spend(n/4, 20*n)
	return do(args)
}

// indexOf compares the shorter text at every place of the longer one.
func indexOf(b *budget, do op, args []ref.Val) ref.Val {
	n, m := length(args[0]), length(args[1])
	b.spend((n+m)/16+n*m/64, 4*(n+m))
	return do(args)
}

// parse is for functions that parse a text. Their errors quote it.
func parse(b *budget, do op, args []ref.Val) ref.Val {
	n := length(args[len(args)-1])
	if n > maxParsed {
		return failed(NotParsed)
	}
	b.spend(2+n/4, 0)
	result := do(args)
	if _, text := args[len(args)-1].(types.String); text && types.IsError(result) {
		b.spend(10, 4*n)
		return failed(NotParsed)
	}
	return result
}

func equal(b *budget, do op, args []ref.Val) ref.Val {
	l, r := args[0], args[1]
	switch l.(type) {
	case traits.Lister, traits.Mapper:
		b.walk(l)
	case types.String, types.Bytes:
		b.spend(min(length(l), length(r))/32, 0)
	default:
		b.scalar(l)
	}
	return do(args)
}

// contained is for the operator in.
func contained(b *budget, do op, args []ref.Val) ref.Val {
	switch c := args[1].(type) {
	case traits.Lister:
		n := size(c)
		switch args[0].(type) {
		case traits.Lister, traits.Mapper:
			before := b.cost
			b.walk(args[0])
			b.spend(n*int(before-b.cost), 0)
		default:
			b.scalar(args[0])
			b.spend(n/2+n*length(args[0])/32, 0)
		}
	case traits.Mapper:
		if !isKey(args[0]) {
			return failed(WrongType)
		}
		b.spend(2+length(args[0])/32, 0)
	}
	return do(args)
}

// isKey reports whether a value can be the key of a map.
func isKey(v ref.Val) bool {
	switch v.(type) {
	case types.Bool, types.Int, types.Uint, types.Double, types.String:
		return true
	}
	return false
}

func size(v traits.Sizer) int { return int(v.Size().(types.Int)) }

// add is for the operator +. Lists are copied: those of cel-go that refer to
// their parts take no memory but time.
func add(b *budget, do op, args []ref.Val) ref.Val {
	l, r := args[0], args[1]
	switch l := l.(type) {
	case types.String, types.Bytes:
		if !b.made(length(l) + length(r)) {
			return failed(ValueTooLong)
		}
	case traits.MutableLister:
		// The list that a macro such as map makes; it grows by doubling.
		b.spend(0, 64)
	case traits.Lister:
		r, ok := r.(traits.Lister)
		if !ok {
			return failed(WrongType)
		}
		n, m := size(l), size(r)
		b.spend((n+m)/2, 32*(n+m)+64)
		elements := make([]ref.Val, 0, n+m)
		for i := range n {
			elements = append(elements, l.Get(types.Int(i)))
		}
		for i := range m {
			elements = append(elements, r.Get(types.Int(i)))
		}
		return types.NewRefValList(types.DefaultTypeAdapter, elements)
	}
	return arithmetic(b, do, args)
}

// maxWhole is the largest whole number up to which doubles hold all whole
// numbers: 2^53 (ECMAScript's MAX_SAFE_INTEGER and 1).
const maxWhole = 1 << 53

// arithmetic adds to CEL's arithmetic that of a double and an integer.
func arithmetic(_ *budget, do op, args []ref.Val) ref.Val {
	l, lok := args[0].(types.Double)
	r, rok := args[1].(types.Double)
	if lok == rok {
		return numberError(do(args))
	}
	double, integer := l, args[1]
	if rok {
		double, integer = r, args[0]
	}
	converted, ok := toDouble(integer)
	switch {
	case !ok:
		return failed(WrongType)
	case types.IsError(converted):
		return converted
	case rok:
		return do([]ref.Val{converted, double})
	default:
		return do([]ref.Val{double, converted})
	}
}

// toDouble converts an integer to a double. It reports whether the value is an
// integer.
func toDouble(v ref.Val) (ref.Val, bool) {
	var exact bool
	switch i := v.(type) {
	case types.Int:
		v, exact = types.Double(i), i >= -maxWhole && i <= maxWhole
	case types.Uint:
		v, exact = types.Double(i), i <= maxWhole
	default:
		return v, false
	}
	if !exact {
		return failed(NumberTooLarge), true
	}
	return v, true
}

// modulo adds to CEL's operator % whole doubles.
func modulo(_ *budget, do op, args []ref.Val) ref.Val {
	operands := [2]ref.Val{args[0], args[1]}
	for i, v := range operands {
		if d, ok := v.(types.Double); ok {
			whole, ok := toInt(d)
			if !ok {
				return failed(NotWhole)
			}
			operands[i] = whole
		}
	}
	return numberError(do(operands[:]))
}

// toInt converts a double that is a whole number.
func toInt(d types.Double) (types.Int, bool) {
	f := float64(d)
	return types.Int(f), f == math.Trunc(f) && math.Abs(f) <= maxWhole
}

// numberError gives arithmetic's errors their reasons.
func numberError(v ref.Val) ref.Val {
	err, ok := v.(*types.Err)
	if !ok {
		return v
	}
	switch message := err.Error(); {
	case strings.HasSuffix(message, "by zero"):
		return failed(DividedByZero)
	case strings.Contains(message, "overflow"):
		return failed(NumberTooLarge)
	case strings.HasPrefix(message, "no such overload"):
		return failed(WrongType)
	}
	return v
}

func join(b *budget, do op, args []ref.Val) ref.Val {
	l, ok := args[0].(traits.Lister)
	if !ok {
		return failed(WrongType)
	}
	n := size(l)
	b.spend(n, 16*n)
	total, separator := 0, 0
	if len(args) == 2 {
		separator = length(args[1])
	}
	for i := range n {
		s, ok := l.Get(types.Int(i)).(types.String)
		if !ok {
			return failed(WrongType)
		}
		if total += len(s) + separator; total > maxMade+separator {
			return failed(ValueTooLong)
		}
	}
	// The text grows by doubling.
	b.spend(total/16, 3*total)
	return do(args)
}

func replace(b *budget, do op, args []ref.Val) ref.Val {
	s, ok := args[0].(types.String)
	old, ok1 := args[1].(types.String)
	now, ok2 := args[2].(types.String)
	if !ok || !ok1 || !ok2 {
		return failed(WrongType)
	}
	b.spend((len(s)+len(old))/16, 0)
	n := strings.Count(string(s), string(old))
	if len(args) == 4 {
		if limit, ok := args[3].(types.Int); ok && limit >= 0 {
			n = int(min(limit, types.Int(n)))
		}
	}
	if !b.made(max(len(s)+n*(len(now)-len(old)), 0)) {
		return failed(ValueTooLong)
	}
	b.spend(n/4, 0)
	return do(args)
}

func split(b *budget, do op, args []ref.Val) ref.Val {
	s, ok := args[0].(types.String)
	separator, ok1 := args[1].(types.String)
	if !ok || !ok1 {
		return failed(WrongType)
	}
	b.spend((len(s)+len(separator))/16, 0)
	n := strings.Count(string(s), string(separator)) + 1
	if len(args) == 3 {
		if limit, ok := args[2].(types.Int); ok && limit >= 0 {
			n = int(min(limit, types.Int(n)))
		}
	}
	b.spend(n/4, 16*n+64)
	return do(args)
}

// inZone is for the parts of a time. Those of CEL read the zone's file for
// every call.
func inZone(b *budget, do op, args []ref.Val) ref.Val {
	if len(args) == 1 {
		return do(args)
	}
	t, ok := args[0].(types.Timestamp)
	name, ok1 := args[1].(types.String)
	if !ok || !ok1 {
		return failed(WrongType)
	}
	b.spend(3, 0)
	if len(name) > maxParsed {
		return failed(UnknownZone)
	}
	if strings.Contains(string(name), ":") {
		b.spend(5, 200)
		if result := do(args); !types.IsError(result) {
			return result
		}
		return failed(UnknownZone)
	}
	zone, err := zones.load(string(name), func() { b.spend(500, 32<<10) })
	if err != nil {
		return failed(UnknownZone)
	}
	return do([]ref.Val{types.Timestamp{Time: t.In(zone)}})
}

// zones holds the time zones that conditions use.
var zones zoneCache

// maxZones is the number of zones that are held; there are about 600 names
// (IANA time zone database, release 2026a).
const maxZones = 700

type zoneCache struct {
	mu    sync.Mutex
	zones map[string]*time.Location
}

// load returns a zone by its name. It calls before, if it must read the zone.
func (c *zoneCache) load(name string, before func()) (*time.Location, error) {
	c.mu.Lock()
	zone, ok := c.zones[name]
	c.mu.Unlock()
	if ok {
		return zone, nil
	}
	before()
	if name == "Local" { // depends on the machine
		return nil, reasonError(UnknownZone)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.zones == nil {
		c.zones = make(map[string]*time.Location)
	}
	if len(c.zones) < maxZones {
		c.zones[name] = zone
	}
	return zone, nil
}
