// Package report shows a result.Run: as a table for the terminal (Text), a table
// for a README (Markdown), sentences (Summary), pictures (Charts, WriteCharts),
// one self-contained HTML page (HTML), and a small web server on this machine
// (Handler, Serve).
//
// It only shows what was measured. Every figure is the median over the rounds of
// a contestant in a scenario at a size, as result.Median gives it; a figure that
// was not measured, or is no finite number, is shown as "–". Nothing here knows
// how anything was measured.
//
// From data to page:
//
//	result.Run ─ newBook ─┬─ tables ──── Text, Markdown, HTML
//	                      ├─ summary ─── Summary, HTML
//	                      └─ charts ──── gonum/plot on svgCanvas ── Chart.SVG, HTML
//
// A chart is drawn once per width; its colours are roles (ink, grid, the hue of
// a contestant), which a stylesheet resolves in the page, so that one drawing
// serves light and dark, and which Chart.SVG resolves for a file of its own.
//
// Of the project it imports bench/internal/result, bench/internal/scenario (for
// the question a scenario answers) and, to serve, bench/internal/store.
package report
