-- Cleans the marketing campaign file and makes features of it.
--
--   data/raw/marketing_campaign.csv          as it came
--     -> data/processed/marketing_clean.parquet      typed, each row once, doubtful values missing
--     -> data/processed/marketing_fitted.parquet     one row: medians, means, deviations, ranges
--     -> data/processed/marketing_features.parquet   the result
--
-- The file is read once. What is learned from all rows (the fitted row) is learned once, and then met with every row.
-- All tables stay registered: marketing_campaign, marketing_clean, marketing_fitted, marketing_features.

-- Income is text: some are typed as '58,138' or with spaces. Columns are matched by position.
CREATE OR REPLACE EXTERNAL TABLE marketing_campaign (
  ID BIGINT, Year_Birth INT, Education TEXT, Marital_Status TEXT, Income TEXT, Kidhome INT, Teenhome INT,
  Dt_Customer TEXT, Recency INT,
  MntWines INT, MntFruits INT, MntMeatProducts INT, MntFishProducts INT, MntSweetProducts INT, MntGoldProds INT,
  NumDealsPurchases INT, NumWebPurchases INT, NumCatalogPurchases INT, NumStorePurchases INT, NumWebVisitsMonth INT,
  AcceptedCmp3 INT, AcceptedCmp4 INT, AcceptedCmp5 INT, AcceptedCmp1 INT, AcceptedCmp2 INT,
  Complain INT, Z_CostContact INT, Z_Revenue INT, Response INT
)
STORED AS CSV
LOCATION 'data/raw/marketing_campaign.csv'
OPTIONS ('format.delimiter' E'\t', 'format.has_header' 'true');

-- Each row once: rows that are equal in all 29 columns are one row, and `copies` counts them. Then the types:
--   income       without thousands separators and spaces; no number, or the typed-in 666666, is a missing income
--   year_birth   outside 1901 to 2014 is a missing year
--   marital      Alone lives alone: Single. Absurd, YOLO and anything else is Other
COPY (
  SELECT
    ID AS id,
    NULLIF(TRY_CAST(replace(replace(Income, ',', ''), ' ', '') AS DOUBLE), 666666) AS income,
    CASE WHEN Year_Birth BETWEEN 1901 AND 2014 THEN Year_Birth END AS year_birth,
    coalesce(trim(Education), '') AS education,
    CASE
      WHEN trim(Marital_Status) = 'Alone' THEN 'Single'
      WHEN trim(Marital_Status) IN ('Divorced', 'Married', 'Single', 'Together', 'Widow') THEN trim(Marital_Status)
      ELSE 'Other'
    END AS marital,
    to_date(trim(Dt_Customer), '%d-%m-%Y') AS enrolled,
    Recency AS recency,
    Kidhome + Teenhome AS children,
    MntWines + MntFruits + MntMeatProducts + MntFishProducts + MntSweetProducts + MntGoldProds AS total_spend,
    NumDealsPurchases AS deals_purchases,
    NumWebPurchases AS web_purchases,
    NumCatalogPurchases AS catalog_purchases,
    NumStorePurchases AS store_purchases,
    NumWebVisitsMonth AS web_visits,
    AcceptedCmp1 + AcceptedCmp2 + AcceptedCmp3 + AcceptedCmp4 + AcceptedCmp5 AS accepted_campaigns,
    Complain AS complain,
    Response AS response,
    count(*) AS copies
  FROM marketing_campaign
  GROUP BY
    ID, Year_Birth, Education, Marital_Status, Income, Kidhome, Teenhome, Dt_Customer, Recency,
    MntWines, MntFruits, MntMeatProducts, MntFishProducts, MntSweetProducts, MntGoldProds,
    NumDealsPurchases, NumWebPurchases, NumCatalogPurchases, NumStorePurchases, NumWebVisitsMonth,
    AcceptedCmp3, AcceptedCmp4, AcceptedCmp5, AcceptedCmp1, AcceptedCmp2,
    Complain, Z_CostContact, Z_Revenue, Response
) TO 'data/processed/marketing_clean.parquet';

CREATE OR REPLACE EXTERNAL TABLE marketing_clean STORED AS PARQUET LOCATION 'data/processed/marketing_clean.parquet';

-- Means and deviations are those after the missing values are filled, so the medians come first.
COPY (
  WITH medians AS (
    SELECT median(income) AS income_median, median(CAST(year_birth AS DOUBLE)) AS year_median
    FROM marketing_clean
  ),
  filled AS (
    SELECT
      *,
      coalesce(income, income_median) AS income_filled,
      2014 - coalesce(CAST(year_birth AS DOUBLE), year_median) AS age
    FROM marketing_clean CROSS JOIN medians
  )
  SELECT
    sum(copies) AS rows_in,
    count(*) AS rows_distinct,
    count(*) - count(income) AS incomes_missing,
    count(*) - count(year_birth) AS years_missing,
    max(enrolled) AS newest_enrolment,
    max(income_median) AS income_median,
    max(year_median) AS year_median,
    avg(income_filled) AS income_mean,
    stddev_pop(income_filled) AS income_deviation,
    avg(age) AS age_mean,
    stddev_pop(age) AS age_deviation,
    avg(total_spend) AS total_spend_mean,
    stddev_pop(total_spend) AS total_spend_deviation,
    avg(CAST(enrolled AS INT)) AS enrolled_mean,
    stddev_pop(CAST(enrolled AS INT)) AS enrolled_deviation,
    avg(recency) AS recency_mean,
    stddev_pop(recency) AS recency_deviation,
    min(deals_purchases) AS deals_min, max(deals_purchases) AS deals_max,
    min(web_purchases) AS web_min, max(web_purchases) AS web_max,
    min(catalog_purchases) AS catalog_min, max(catalog_purchases) AS catalog_max,
    min(store_purchases) AS store_min, max(store_purchases) AS store_max,
    min(web_visits) AS visits_min, max(web_visits) AS visits_max,
    min(children) AS children_min, max(children) AS children_max
  FROM filled
) TO 'data/processed/marketing_fitted.parquet';

CREATE OR REPLACE EXTERNAL TABLE marketing_fitted STORED AS PARQUET LOCATION 'data/processed/marketing_fitted.parquet';

-- Ends of names: _z is standardised (mean 0, deviation 1 over all rows), _01 lies between the least and the greatest
-- value, education_ and marital_ are 1 for that category and else 0 (a category not listed has 0 in all of them).
-- A column with one value only would divide by zero; it becomes 0. Days and ages count to the newest enrolment and 2014.
-- Z_CostContact and Z_Revenue say the same in every row and are left out.
COPY (
  WITH fitted AS (
    SELECT
      *,
      coalesce(NULLIF(income_deviation, 0), 1) AS income_scale,
      coalesce(NULLIF(age_deviation, 0), 1) AS age_scale,
      coalesce(NULLIF(total_spend_deviation, 0), 1) AS total_spend_scale,
      coalesce(NULLIF(enrolled_deviation, 0), 1) AS enrolled_scale,
      coalesce(NULLIF(recency_deviation, 0), 1) AS recency_scale,
      CAST(coalesce(NULLIF(deals_max - deals_min, 0), 1) AS DOUBLE) AS deals_range,
      CAST(coalesce(NULLIF(web_max - web_min, 0), 1) AS DOUBLE) AS web_range,
      CAST(coalesce(NULLIF(catalog_max - catalog_min, 0), 1) AS DOUBLE) AS catalog_range,
      CAST(coalesce(NULLIF(store_max - store_min, 0), 1) AS DOUBLE) AS store_range,
      CAST(coalesce(NULLIF(visits_max - visits_min, 0), 1) AS DOUBLE) AS visits_range,
      CAST(coalesce(NULLIF(children_max - children_min, 0), 1) AS DOUBLE) AS children_range
    FROM marketing_fitted
  ),
  filled AS (
    SELECT
      *,
      coalesce(income, income_median) AS income_filled,
      2014 - coalesce(CAST(year_birth AS DOUBLE), year_median) AS age
    FROM marketing_clean CROSS JOIN fitted
  )
  SELECT
    id,
    income_filled AS income,
    age,
    children,
    total_spend,
    deals_purchases + web_purchases + catalog_purchases + store_purchases AS total_purchases,
    accepted_campaigns,
    CAST(newest_enrolment AS INT) - CAST(enrolled AS INT) AS customer_days,
    (income_filled - income_mean) / income_scale AS income_z,
    (age - age_mean) / age_scale AS age_z,
    (total_spend - total_spend_mean) / total_spend_scale AS total_spend_z,
    (enrolled_mean - CAST(enrolled AS INT)) / enrolled_scale AS customer_days_z,
    (recency - recency_mean) / recency_scale AS recency_z,
    (deals_purchases - deals_min) / deals_range AS deals_purchases_01,
    (web_purchases - web_min) / web_range AS web_purchases_01,
    (catalog_purchases - catalog_min) / catalog_range AS catalog_purchases_01,
    (store_purchases - store_min) / store_range AS store_purchases_01,
    (web_visits - visits_min) / visits_range AS web_visits_01,
    (children - children_min) / children_range AS children_01,
    CAST(education = '2n Cycle' AS TINYINT) AS education_2n_cycle,
    CAST(education = 'Basic' AS TINYINT) AS education_basic,
    CAST(education = 'Graduation' AS TINYINT) AS education_graduation,
    CAST(education = 'Master' AS TINYINT) AS education_master,
    CAST(education = 'PhD' AS TINYINT) AS education_phd,
    CAST(marital = 'Divorced' AS TINYINT) AS marital_divorced,
    CAST(marital = 'Married' AS TINYINT) AS marital_married,
    CAST(marital = 'Other' AS TINYINT) AS marital_other,
    CAST(marital = 'Single' AS TINYINT) AS marital_single,
    CAST(marital = 'Together' AS TINYINT) AS marital_together,
    CAST(marital = 'Widow' AS TINYINT) AS marital_widow,
    complain,
    response
  FROM filled
) TO 'data/processed/marketing_features.parquet';

CREATE OR REPLACE EXTERNAL TABLE marketing_features
STORED AS PARQUET LOCATION 'data/processed/marketing_features.parquet';

-- The summary. Rows of the result are counted in the result itself.
SELECT
  rows_in,
  rows_out,
  rows_in - rows_distinct AS duplicates,
  incomes_missing AS incomes_imputed,
  income_median,
  years_missing AS birth_years_imputed,
  year_median AS birth_year_median
FROM marketing_fitted CROSS JOIN (SELECT count(*) AS rows_out FROM marketing_features);
