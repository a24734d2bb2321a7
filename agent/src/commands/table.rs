//! Aligned tables. Pure.

use super::text;

/// Lays rows out below their heads, two blanks apart; the last column is cut where the terminal ends.
pub fn table(heads: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| text::one_line(cell)).collect())
        .collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heads = heads.iter().map(ToString::to_string).collect();
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(&rows) {
        let line = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect::<Vec<_>>()
            .join("  ");
        let line = line.trim_end();
        match width {
            Some(width) if line.chars().count() > width => {
                out.extend(line.chars().take(width.saturating_sub(1)).chain(['…']));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_a_long_line_is_cut_at_the_terminals_edge() {
        let rows = [
            vec!["a".to_string(), "x".into()],
            vec!["long-name".into(), "yyyyyyyy".into()],
        ];
        assert_eq!(
            table(&["N", "V"], &rows, None),
            "N          V\na          x\nlong-name  yyyyyyyy\n"
        );
        assert_eq!(
            table(&["N", "V"], &rows, Some(13)),
            "N          V\na          x\nlong-name  y…\n"
        );
    }
}
