"""Columns of the source with their types and by what they are used for, and the columns of the result."""

from pathlib import Path

TEXT_COLUMNS = {"Education", "Marital_Status", "Income", "Dt_Customer"}
CATEGORIES = {
    "education": ["2n Cycle", "Basic", "Graduation", "Master", "PhD"],
    "marital": ["Divorced", "Married", "Other", "Single", "Together", "Widow"],
}
SPEND = ["MntWines", "MntFruits", "MntMeatProducts", "MntFishProducts", "MntSweetProducts", "MntGoldProds"]
PURCHASES = ["NumDealsPurchases", "NumWebPurchases", "NumCatalogPurchases", "NumStorePurchases"]
ACCEPTED = ["AcceptedCmp1", "AcceptedCmp2", "AcceptedCmp3", "AcceptedCmp4", "AcceptedCmp5"]

PLAIN = ["income", "age", "children", "total_spend", "total_purchases", "accepted_campaigns", "customer_days"]
# Columns of the result, and what they are made of.
STANDARDISED = {
    "income_z": "income",
    "age_z": "age",
    "total_spend_z": "total_spend",
    "customer_days_z": "customer_days",
    "recency_z": "Recency",
}
SCALED = {
    "deals_purchases_01": "NumDealsPurchases",
    "web_purchases_01": "NumWebPurchases",
    "catalog_purchases_01": "NumCatalogPurchases",
    "store_purchases_01": "NumStorePurchases",
    "web_visits_01": "NumWebVisitsMonth",
    "children_01": "children",
}


def source_types(source: Path) -> dict[str, str]:
    """The columns of a source with their types in SQL."""
    with source.open(encoding="utf-8") as file:
        names = file.readline().rstrip("\r\n").split("\t")
    return {name: "STRING" if name in TEXT_COLUMNS else "INT" for name in names}


def encoded_name(column: str, category: str) -> str:
    return f"{column}_{category.lower().replace(' ', '_')}"


ENCODED = {
    encoded_name(column, category): (column, category)
    for column, categories in CATEGORIES.items()
    for category in categories
}
RESULT = ["id", *PLAIN, *STANDARDISED, *SCALED, *ENCODED, "complain", "response"]
