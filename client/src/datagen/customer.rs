//! One row of the marketing campaign file, before it becomes text.

use std::sync::LazyLock;

use jiff::ToSpan;
use jiff::civil::{Date, date};

/// Names of the columns, in the order of the file.
pub(super) const COLUMNS: [&str; 29] = [
    "ID",
    "Year_Birth",
    "Education",
    "Marital_Status",
    "Income",
    "Kidhome",
    "Teenhome",
    "Dt_Customer",
    "Recency",
    "MntWines",
    "MntFruits",
    "MntMeatProducts",
    "MntFishProducts",
    "MntSweetProducts",
    "MntGoldProds",
    "NumDealsPurchases",
    "NumWebPurchases",
    "NumCatalogPurchases",
    "NumStorePurchases",
    "NumWebVisitsMonth",
    "AcceptedCmp3",
    "AcceptedCmp4",
    "AcceptedCmp5",
    "AcceptedCmp1",
    "AcceptedCmp2",
    "Complain",
    "Z_CostContact",
    "Z_Revenue",
    "Response",
];

/// Columns that follow `Dt_Customer`; all of them are numbers.
pub(super) const NUMBERS_AFTER_DATE: usize = 21;

/// The days on which customers enrolled: 30-07-2012 to 29-06-2014.
pub(super) const ENROLMENT_DAYS: u16 = 700;

const FIRST_ENROLMENT: Date = date(2012, 7, 30);

/// The same in every row of the well-known file.
const Z_COST_CONTACT: u32 = 3;
const Z_REVENUE: u32 = 11;

static ENROLMENT_DATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let days = 0..i64::from(ENROLMENT_DAYS);
    days.map(|day| {
        FIRST_ENROLMENT
            .saturating_add(day.days())
            .strftime("%d-%m-%Y")
            .to_string()
    })
    .collect()
});

/// A customer of the campaign.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Customer {
    pub(super) id: u32,
    pub(super) year_birth: u16,
    pub(super) education: &'static str,
    pub(super) marital_status: &'static str,
    pub(super) income: Income,
    pub(super) kids: u8,
    pub(super) teens: u8,
    /// Days since the first enrolment, below [`ENROLMENT_DAYS`].
    pub(super) enrolment_day: u16,
    /// Days since the last purchase.
    pub(super) recency: u8,
    /// Money spent in two years on wines, fruits, meat, fish, sweets, gold.
    pub(super) spend: [u16; 6],
    /// Purchases with a deal, on the web, by catalogue, in stores; then visits of the web site in a month.
    pub(super) purchases: [u8; 5],
    /// Whether campaigns 3, 4, 5, 1, 2 were accepted.
    pub(super) accepted: [bool; 5],
    pub(super) complained: bool,
    pub(super) responded: bool,
}

impl Customer {
    /// Day of enrolment as dd-mm-yyyy.
    pub(super) fn enrolment_date(&self) -> &'static str {
        &ENROLMENT_DATES[usize::from(self.enrolment_day)]
    }

    /// The columns that follow `Dt_Customer`.
    pub(super) fn numbers_after_date(&self) -> [u32; NUMBERS_AFTER_DATE] {
        let [wines, fruits, meat, fish, sweets, gold] = self.spend.map(u32::from);
        let [deals, web, catalog, store, visits] = self.purchases.map(u32::from);
        let [third, fourth, fifth, first, second] = self.accepted.map(u32::from);
        [
            u32::from(self.recency),
            wines,
            fruits,
            meat,
            fish,
            sweets,
            gold,
            deals,
            web,
            catalog,
            store,
            visits,
            third,
            fourth,
            fifth,
            first,
            second,
            u32::from(self.complained),
            Z_COST_CONTACT,
            Z_REVENUE,
            u32::from(self.responded),
        ]
    }
}

/// A yearly income as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Income {
    /// Not given: an empty field.
    Missing,
    /// `58138`
    Plain(u32),
    /// `58,138`
    Separated(u32),
    /// ` 58138`
    SpaceBefore(u32),
    /// `58138 `
    SpaceAfter(u32),
}

impl Income {
    /// The number, however it was typed.
    pub(super) fn amount(self) -> Option<u32> {
        match self {
            Self::Missing => None,
            Self::Plain(amount)
            | Self::Separated(amount)
            | Self::SpaceBefore(amount)
            | Self::SpaceAfter(amount) => Some(amount),
        }
    }
}
