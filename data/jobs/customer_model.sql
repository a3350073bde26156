-- A model of who responds to a campaign, which follows the customers.
--
--   topic customer_updates ─► customers (its current state) ─► customer_features (a view) ─► responders (a model)
--                                                                  ▲
--   data/raw/marketing_campaign.csv ─► pipeline customer_features ─┘ medians, means and deviations
--
-- Change the address of the broker if it is another one. To try it, in two terminals:
--   millpond up --kafka embedded                             it prints the addresses
--   millpond topic produce customer_updates --generate customer-updates --rows 20000 --brokers HOST:PORT
--   millpond submit data/jobs/customer_model.sql --url grpc://HOST:PORT

-- Income is text: some are typed as '58,138' or with spaces. Columns are matched by position.
CREATE OR REPLACE EXTERNAL TABLE campaign (
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

-- What the campaign teaches: the median that stands for a missing income, and the scales. It is learned once, and applied
-- unchanged to the customers as they come.
RUN PIPELINE '
name: customer_features
source:
  query: >-
    SELECT ID AS id, Year_Birth AS year_birth, trim(Education) AS education,
    NULLIF(TRY_CAST(replace(replace(Income, '','', ''''), '' '', '''') AS DOUBLE), 666666) AS income,
    Kidhome + Teenhome AS children, Recency AS recency,
    MntWines + MntFruits + MntMeatProducts + MntFishProducts + MntSweetProducts + MntGoldProds AS total_spend,
    Response AS response FROM campaign
steps:
  - derive: {year_birth: CASE WHEN year_birth BETWEEN 1901 AND 2014 THEN year_birth END}
  - impute: {columns: [income, year_birth], strategy: median}
  - derive: {age: 2014 - year_birth}
  - standardize: [income, age, total_spend, recency]
  - select: [id, income, age, children, recency, total_spend, education, response]
output:
  - table: campaign_features
';

CREATE EXTERNAL TABLE IF NOT EXISTS customers (
  id BIGINT, year_birth INT, education TEXT, income DOUBLE, children INT, recency INT, total_spend BIGINT, response INT,
  PRIMARY KEY (id)
)
STORED AS KAFKA LOCATION 'kafka://localhost:9092/customer_updates' OPTIONS ('format' 'debezium-json');

WAIT FOR TABLE customers TIMEOUT '60s';

-- New, changed and deleted customers come out transformed at once.
APPLY PIPELINE customer_features TO customers AS customer_features;

-- Two models over them: the first keeps its sums with the rows, so each change costs only itself; the second starts from its
-- last coefficients, and is measured on a fifth of the customers that it does not learn from.
CREATE OR REPLACE MODEL spenders
  OPTIONS (type 'linear_regression', label 'total_spend', refresh 'on_change')
  AS SELECT income, age, children, recency, total_spend FROM customer_features;

CREATE OR REPLACE MODEL responders
  OPTIONS (type 'logistic_regression', label 'response', refresh 'on_change', key 'id', test '0.2')
  AS SELECT id, income, age, children, recency, total_spend, education, response FROM customer_features;

SELECT id, predict(responders) AS expected, predict_proba(responders, label => '1') AS probability, predict(spenders) AS spend
FROM customer_features ORDER BY probability DESC LIMIT 10;
