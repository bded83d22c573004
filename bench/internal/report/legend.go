package report

// key is an entry of a legend: a mark, a line or a swatch, and what it means.
type key struct {
	text string
	mark *mark
	line *stroke
	band bool
}

const (
	keyLead   = 20 // height of a row of keys
	keySymbol = 24 // room of a symbol
)

// legendRows arranges keys in rows that fit a width.
func legendRows(keys []key, width float64) [][]key {
	var rows [][]key
	x := 0.0
	for _, k := range keys {
		w := keyWidth(k)
		if len(rows) == 0 || x+w > width {
			rows, x = append(rows, nil), 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], k)
		x += w
	}
	return rows
}

func keyWidth(k key) float64 {
	w := widthOf(k.text, tickStyle) + 16
	if k.mark != nil || k.line != nil || k.band {
		w += keySymbol
	}
	return w
}

// legendHeight returns the height that legend takes.
func (s *sketch) legendHeight(keys []key) float64 {
	return keyLead * float64(len(legendRows(keys, s.width-2*margin)))
}

// legend draws keys from y downwards.
func (s *sketch) legend(y float64, keys []key) {
	for _, row := range legendRows(keys, s.width-2*margin) {
		x, mid := float64(margin), y+keyLead/2-2
		for _, k := range row {
			at := x
			switch {
			case k.mark != nil:
				s.mark(x+8, mid, *k.mark)
				at += keySymbol - 6
			case k.line != nil:
				s.segment(*k.line, x, mid, x+18, mid)
				at += keySymbol
			case k.band:
				s.box("band", x, mid-7, x+18, mid+7)
				at += keySymbol
			}
			s.text(at, mid+4, k.text, tickStyle)
			x += keyWidth(k)
		}
		y += keyLead
	}
}
