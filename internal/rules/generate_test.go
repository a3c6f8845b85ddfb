package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A generator makes conditions that compile, of every function and operator.
type generator struct {
	*rand.Rand
	// texts are the variables of macros; each is a text.
	texts []string
	loops int
}

func (g *generator) pick(from ...string) string { return from[g.IntN(len(from))] }

// fill replaces $B, $I, $T, $L, $N and $D in a pattern by expressions of these
// kinds: boolean, integer, text, list of texts, number of custom and time.
func (g *generator) fill(pattern string, depth int) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(pattern, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(g.expression(after[0], depth-1))
		pattern = after[1:]
	}
}

func (g *generator) expression(kind byte, depth int) string {
	if depth <= 0 {
		return g.leaf(kind)
	}
	if (kind == 'L' || kind == 'B') && g.loops < maxLoops && g.IntN(2) == 0 {
		return g.loop(kind, depth)
	}
	switch kind {
	case 'B':
		return g.fill(g.pick("($B && $B)", "($B || $B)", "(!$B)", "($B ? $B : $B)", "($T == $T)", "($T != $T)", "($T < $T)",
			"$T.contains($T)", "$T.startsWith($T)", "$T.endsWith($T)", "($T in $L)", "($L == $L)", "($L in [$L, $L])", "($N > $I)", "($I <= $I)",
			"$T.matches('(a|aa)+z')", "$T.matches('(?i)(a?){40}[^b]')", "$T.matches('.*a.*b.*c')", "isIP($T + '')", "cidr('10.0.0.0/8').containsIP($T + '')",
			"($D < $D)", "($T in custom)", "(custom == user.custom)", "(dyn(user) == dyn(action))", "({1: $T, 2: $T}[$I] == $T)"), depth)
	case 'I':
		return g.fill(g.pick("$T.size()", "$L.size()", "($I + $I)", "($I * $I)", "($I / $I)", "($I % $I)", "(-$I)", "$T.indexOf($T)",
			"$T.lastIndexOf($T)", "int($T + '')", "$D.getHours('Europe/Berlin')", "$D.getMinutes($T + '')", "($B ? $I : $I)", "bytes($T).size()"), depth)
	case 'T':
		return g.fill(g.pick("($T + $T)", "$T.replace($T, $T)", "$T.replace($T, $T, $I)", "$L.join($T)", "$L.join()", "$L[$I]", "$T.lowerAscii()",
			"$T.upperAscii()", "$T.reverse()", "$T.trim()", "$T.substring($I)", "$T.charAt($I)", "strings.quote($T)", "string($I)", "string($D)",
			"string(bytes($T))", "($B ? $T : $T)", "custom[$T]"), depth)
	case 'L':
		return g.fill(g.pick("($L + $L)", "$T.split($T)", "$T.split('', $I)", "[$T, $T]", "($B ? $L : $L)"), depth)
	case 'N':
		return g.fill(g.pick("($N + $I)", "($N * $N)", "($I % $N)", "(-$N)", "($B ? $N : $N)"), depth)
	}
	return g.fill(g.pick("($D + duration('1h'))", "timestamp($T + '')", "($B ? $D : $D)"), depth)
}

// loop makes a macro over a list of texts.
func (g *generator) loop(kind byte, depth int) string {
	g.loops++
	list := g.expression('L', depth-1)
	variable := fmt.Sprint("v", len(g.texts))
	g.texts = append(g.texts, variable)
	pattern := variable + ", $B)"
	macro := g.pick("filter(", "map(")
	switch {
	case kind == 'B':
		macro = g.pick("exists(", "all(", "exists_one(")
	case macro == "map(":
		pattern = variable + ", $T)"
	}
	body := g.fill(pattern, depth)
	g.texts = g.texts[:len(g.texts)-1]
	g.loops--
	return list + "." + macro + body
}

func (g *generator) leaf(kind byte) string {
	switch kind {
	case 'B':
		return g.pick("true", "false", "device.isNew", "(custom.vip == true)")
	case 'I':
		return g.pick("0", "1", "2", "100", "counts.actionsLastDay")
	case 'T':
		return g.pick(append(g.texts, "userAgent", "ip", "custom.text", "'a'", "''", "'é'", "user.email")...)
	case 'L':
		return g.pick("custom.texts", "['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']", "userAgent.split('')", "[userAgent, ip]")
	case 'N':
		return g.pick("custom.number", "custom.amount")
	}
	return g.pick("action.createdAt", "user.createdAt", "timestamp('2026-11-21T00:00:00Z')")
}

// generate makes a condition from a seed.
func generate(seed uint64) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	for {
		if c := g.expression('B', 2+g.IntN(6)); len(c) <= MaxLength {
			return c
		}
	}
}
