package main

import (
	"fmt"
	"strings"
)

// draw returns an SVG bar chart of the rates of the present version: a group for
// each store and number of connections, with a bar for each kind.
func draw(results []result) []byte {
	const (
		left, top, height = 60, 40, 240
		bar, gap          = 26, 26
	)
	colours := map[string]string{"commit": "#9aa3b5", "track": "#3355dd", "verify": "#1a9a6c", "step-up": "#c9791f"}
	most := 1.0
	for _, r := range results {
		most = max(most, r.rate)
	}
	var b strings.Builder
	x, group := left, ""
	type label struct {
		x    int
		text string
	}
	var labels []label
	for _, c := range ordered(results) {
		key := fmt.Sprintf("%s, %d", c.store, c.connections)
		if key != group {
			if group != "" {
				x += gap
			}
			group = key
			labels = append(labels, label{x, key})
		}
		h := int(c.rate / most * height)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"><title>%s %s: %.0f a second</title></rect>`+"\n",
			x, top+height-h, bar-2, h, colours[c.what], key, c.what, c.rate)
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="9" text-anchor="middle" fill="#444">%.0f</text>`+"\n", x+bar/2, top+height-h-4, c.rate)
		x += bar
	}
	for _, l := range labels {
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="11" fill="#222">%s</text>`+"\n", l.x, top+height+18, l.text)
	}
	for i, what := range kinds {
		fmt.Fprintf(&b, `<rect x="%d" y="12" width="12" height="12" fill="%s"/><text x="%d" y="22" font-size="12" fill="#222">%s</text>`+"\n",
			left+i*100, colours[what], left+18+i*100, what)
	}
	width := x + left
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" font-family="system-ui, sans-serif" role="img"><title>Requests a second, by store and number of connections</title><rect width="100%%" height="100%%" fill="#fff"/>`+"\n%s</svg>\n",
		width, top+height+40, width, b.String())
}

// ordered returns results in the order of stores, numbers of connections and
// kinds.
func ordered(results []result) []result {
	var out []result
	for _, store := range []string{"SQLite", "PostgreSQL"} {
		for _, n := range connections {
			for _, what := range kinds {
				for _, r := range results {
					if r.store == store && r.connections == n && r.what == what && r.version != earlier {
						out = append(out, r)
					}
				}
			}
		}
	}
	return out
}
