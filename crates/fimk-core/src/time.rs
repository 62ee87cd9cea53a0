//! Points in time as the kernel and ECS have them.

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01 UTC; covers the years 1678 to 2261. File times outside are cut to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From the seconds and nanoseconds of a `statx_timestamp`.
    pub fn from_parts(seconds: i64, nanoseconds: u32) -> Self {
        Self(
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(nanoseconds)),
        )
    }

    /// From what people write: RFC 3339, or a day, maybe with a time of it, in UTC: `2026-11-21`, `2026-11-21 10:11`.
    pub fn parse(text: &str) -> Option<Self> {
        let exact = text.parse::<jiff::Timestamp>();
        let time = exact.or_else(|_| {
            let civil = text.parse::<jiff::civil::DateTime>()?;
            jiff::tz::TimeZone::UTC.to_timestamp(civil)
        });
        i64::try_from(time.ok()?.as_nanosecond()).ok().map(Self)
    }

    /// RFC 3339 in UTC with nanoseconds: `2026-11-21T10:11:12.000000345Z`.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_nanosecond(i128::from(self.0))
            .map_or_else(|_| self.0.to_string(), |time| format!("{time:.9}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_people_write_are_in_utc() {
        let of = |text| Timestamp::parse(text).map(Timestamp::rfc3339);
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(of("2026-11-21"), at("2026-11-21T00:00:00.000000000Z"));
        assert_eq!(of("2026-11-21 10:11"), at("2026-11-21T10:11:00.000000000Z"));
        assert_eq!(
            of("2026-11-21T10:11:12+01:00"),
            at("2026-11-21T09:11:12.000000000Z")
        );
        for bad in ["", "yesterday", "2026-13-01", "9999-01-01"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn nanoseconds_are_always_nine_digits() {
        assert_eq!(Timestamp(0).rfc3339(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            Timestamp::from_parts(1_795_000_000, 5).rfc3339(),
            "2026-11-18T11:06:40.000000005Z"
        );
        assert_eq!(
            Timestamp::from_parts(-1, 999_999_999).rfc3339(),
            "1969-12-31T23:59:59.999999999Z"
        );
    }
}
