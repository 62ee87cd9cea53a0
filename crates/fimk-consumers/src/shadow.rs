//! shadow(5): `name:password:last change:minimum:maximum:warning:inactive:expires:reserved`.
//!
//! Days are counted since 1970-01-01 and printed as dates. What is neither empty nor a decimal number
//! makes the line malformed. Limits: see [`crate::table`].

use serde::{Deserialize, Serialize};

use crate::{
    Password, Tokenize,
    pieces::{Numbers, Pieces},
    table::{Account, Fault, FieldChange, MAX_FIELD, Table},
};

/// The users of a shadow file.
pub type State = Table<User>;

/// A user, without the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The hash, or what stands in its place.
    pub password: Password,
    /// The numbers, from last change to expiry; absent is empty.
    pub ageing: [Option<i64>; 6],
    /// The last field, which has no meaning yet.
    pub reserved: Pieces,
}

/// Names of the fields between password and reserved, and whether they are a day.
const AGEING: [(&str, bool); 6] = [
    ("last change", true),
    ("minimum days", false),
    ("maximum days", false),
    ("warning days", false),
    ("inactive days", false),
    ("expires", true),
];
const LAST_CHANGE: usize = 0;
const EXPIRES: usize = 5;

impl Account for User {
    const FIELDS: usize = 9;

    fn parse(fields: &[&[u8]], tokenize: &dyn Tokenize) -> Result<Self, Fault> {
        let &[password, ref numbers @ .., reserved] = fields else {
            return Err(Fault::FieldCount);
        };
        let mut ageing = [None; AGEING.len()];
        for (value, field) in ageing.iter_mut().zip(numbers) {
            *value = number(field)?;
        }
        Ok(Self {
            password: Password::parse(password, tokenize),
            ageing,
            reserved: crate::redact::text(reserved, tokenize),
        })
    }

    fn has_secrets(&self) -> bool {
        self.password.is_secret() || self.reserved.has_secrets()
    }

    fn summary(&self, _numbers: &mut Numbers) -> String {
        let mut summary = format!("password {}", self.password.words());
        for index in [LAST_CHANGE, EXPIRES] {
            if let Some(value) = said(index, self.ageing[index]) {
                summary.push_str(", ");
                summary.push_str(AGEING[index].0);
                summary.push(' ');
                summary.push_str(&value);
            }
        }
        summary
    }

    fn changes(&self, after: &Self, numbers: &mut Numbers) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        if self.password != after.password {
            let (before, after) = self.password.change(&after.password, numbers);
            changes.push(("password", Some(before), Some(after)));
        }
        for (index, (field, _)) in AGEING.iter().enumerate() {
            let (before, after) = (self.ageing[index], after.ageing[index]);
            if before != after {
                changes.push((field, said(index, before), said(index, after)));
            }
        }
        if self.reserved != after.reserved {
            let mut said = |text: &Pieces| Some(text.render(numbers, MAX_FIELD).text);
            let (before, after) = (said(&self.reserved), said(&after.reserved));
            changes.push(("reserved", before, after));
        }
        changes
    }
}

fn number(field: &[u8]) -> Result<Option<i64>, Fault> {
    if field.is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(field).map_err(|_| Fault::Number)?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map(Some).map_err(|_| Fault::Number)
    } else {
        Err(Fault::Number)
    }
}

fn said(index: usize, value: Option<i64>) -> Option<String> {
    let value = value?;
    Some(match value {
        0 if index == LAST_CHANGE => "0 (must be changed at the next login)".into(),
        day if AGEING[index].1 => date(day).unwrap_or_else(|| day.to_string()),
        number => number.to_string(),
    })
}

/// 9999-12-31.
const LAST_DAY: i64 = 2_932_896;

/// The date of a day since 1970-01-01, up to the year 9999.
fn date(day: i64) -> Option<String> {
    let mut day = (0..=LAST_DAY).contains(&day).then_some(day)?;
    let mut year = 1970;
    // 400 years have 146,097 days, whichever they are.
    year += day / 146_097 * 400;
    day %= 146_097;
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    Some(format!("{year:04}-{month:02}-{:02}", day + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
            (LAST_DAY, "9999-12-31"),
        ] {
            assert_eq!(date(day).as_deref(), Some(expected));
        }
        assert_eq!(date(LAST_DAY + 1), None);
        assert_eq!(date(-1), None);
    }
}
