package portal

import (
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A chart shows how often actions entered states, in bars of equal periods. An
// action counts in each state that it entered: an action that was challenged and
// succeeded counts twice.
type chart struct {
	// Range is the name of the range that is shown, Ranges are all ranges.
	Range  string
	Ranges []chartRange
	Series []series
	Bars   []bar
	// Max is the height of the highest bar, Total the sum of all bars.
	Max, Total int64
}

type chartRange struct {
	Name, Label string
	bars        int
	each        time.Duration
}

var chartRanges = []chartRange{
	{"day", "24 hours", 24, time.Hour},
	{"week", "7 days", 28, 6 * time.Hour},
	{"month", "30 days", 30, 24 * time.Hour},
}

// A series is one part of every bar. Its CSS class sets the colour.
type series struct{ Class, Label string }

var chartSeries = []series{
	{"allowed", "Allow"}, {"open", "Challenge required"}, {"passed", "Challenge succeeded"}, {"review", "Review required"}, {"blocked", "Block"},
}

// A bar is a period with a number for each series; Parts draw it.
type bar struct {
	From, Until time.Time
	N           []int64
	Total       int64
	Parts       []part
}

// A part is a rectangle in the units of the chart's viewBox, which is 10 wide
// for each bar and 100 high. Y is measured from the top.
type part struct {
	Class               string
	X, Y, Width, Height float64
}

// outcomes reads the chart of a range. If action is not empty, the chart counts
// that action only.
func (p *portal) outcomes(tx *store.Tx, name, action string) (chart, error) {
	chosen := chartRanges[0]
	for _, r := range chartRanges {
		if r.Name == name {
			chosen = r
		}
	}
	c := chart{Range: chosen.Name, Ranges: chartRanges, Series: chartSeries}
	// The last bar contains the current hour.
	end := p.Now().UTC().Truncate(chosen.each).Add(chosen.each)
	begin := end.Add(-time.Duration(chosen.bars) * chosen.each)
	for i := range chosen.bars {
		from := begin.Add(time.Duration(i) * chosen.each)
		c.Bars = append(c.Bars, bar{From: from, Until: from.Add(chosen.each), N: make([]int64, len(chartSeries))})
	}
	counts, err := tx.StateCounts(begin)
	if err != nil {
		return chart{}, err
	}
	for _, n := range counts {
		i := int(n.Hour.Sub(begin) / chosen.each)
		if i < 0 || i >= len(c.Bars) || action != "" && n.Action != action {
			continue
		}
		switch b := &c.Bars[i]; n.State {
		case api.StateAllow:
			b.N[0] += n.N
		case api.StateChallengeRequired:
			b.N[1] += n.N
		case api.StateChallengeSucceeded:
			b.N[2] += n.N
		case api.StateReviewRequired:
			b.N[3] += n.N
		case api.StateBlock:
			b.N[4] += n.N
		}
	}
	for i := range c.Bars {
		b := &c.Bars[i]
		for _, n := range b.N {
			b.Total += n
		}
		c.Max, c.Total = max(c.Max, b.Total), c.Total+b.Total
	}
	for i := range c.Bars {
		b, y := &c.Bars[i], 100.0
		for s, n := range b.N {
			if n == 0 {
				continue
			}
			h := 100 * float64(n) / float64(c.Max)
			y -= h
			b.Parts = append(b.Parts, part{chartSeries[s].Class, float64(i)*10 + 1, y, 8, h})
		}
	}
	return c, nil
}

// Width is the width of the chart's viewBox.
func (c chart) Width() int { return 10 * len(c.Bars) }

// First and Last are the ends of the period that is shown.
func (c chart) First() time.Time { return c.Bars[0].From }
func (c chart) Last() time.Time  { return c.Bars[len(c.Bars)-1].Until }
