"""Prints the numbers that tests of this crate compare with, as scikit-learn, statsmodels and scipy compute them.

    python3 -m venv target/model-venv
    target/model-venv/bin/pip install scikit-learn==1.9.1 statsmodels==0.15.0
    target/model-venv/bin/python model/fixtures.py

The rows are those of `src/samples.rs`: whole numbers from SplitMix64, so both sides have the same bits.
"""

import warnings

import numpy as np
import scipy.stats
import statsmodels.api as sm
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

warnings.simplefilter("ignore")
MASK = (1 << 64) - 1


class Random:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, limit):
        return (self.next() >> 11) % limit


def customers(rows):
    random = Random(7)
    x, spend, bought, tier = [], [], [], []
    for _ in range(rows):
        age = 18 + random.below(60)
        visits = random.below(30)
        income = 20000 + 37 * random.below(2000) + 300 * age
        region = random.below(3)
        noise = sum(random.below(1000) for _ in range(4)) - 1998
        x.append([age, visits, income, region == 1, region == 2])
        spend.append((2 * income + 1500 * visits - 700 * age + 20000 * (region == 1) + 30 * noise) / 100)
        score = visits * 40 - age * 10 + 150 * (region == 2) + noise
        bought.append(int(score > 0))
        tier.append(int(score + income // 100 > 0) + int(score + income // 100 > 900))
    return np.array(x, float), np.array(spend), np.array(bought), np.array(tier)


def show(name, values):
    print(f"{name}: [" + ", ".join(repr(float(v)) for v in np.ravel(values)) + "]")


x, spend, bought, tier = customers(500)

ols = sm.OLS(spend, sm.add_constant(x)).fit()
show("ols coefficients, intercept first", ols.params)
show("ols standard errors", ols.bse)  # not misspelt
show("ols t", ols.tvalues)
show("ols p", ols.pvalues)
show("ols r2, adjusted, variance, rmse", [ols.rsquared, ols.rsquared_adj, ols.mse_resid, np.sqrt(np.mean(ols.resid**2))])
z = x - x.mean(0)
show("ols condition", [np.linalg.cond(z / np.sqrt((z**2).sum(0)))])
through_0 = sm.OLS(spend, x).fit()
show("ols through 0", through_0.params)
show("ols through 0 standard errors, r2", [*through_0.bse, through_0.rsquared])  # not misspelt
ridge = Ridge(alpha=50.0, solver="svd").fit(x, spend)
show("ridge 50, intercept first", [ridge.intercept_, *ridge.coef_])
scaler = StandardScaler().fit(x)
ridge = Ridge(alpha=50.0, solver="svd").fit(scaler.transform(x), spend)
w = ridge.coef_ / scaler.scale_
show("ridge 50 standardised, per unit", [ridge.intercept_ - w @ scaler.mean_, *w])
show("student p", [2 * scipy.stats.t.sf(t, df) for t, df in [(2.0, 3), (5.0, 494), (40.0, 10), (60.0, 494)]])


def logistic(name, y, l2, standardize=False, **more):
    data = scaler.transform(x)
    if not standardize and l2:
        # The same problem on a scale on which the solver is exact: w = v / s, so the penalty is no longer round.
        v, b = newton(data, y, l2 / scaler.scale_**2, **more)
    elif not l2:
        v, b = newton(data, y, np.zeros(x.shape[1]), **more)
    else:
        model = LogisticRegression(C=1 / l2, solver="newton-cholesky", tol=1e-14, max_iter=1000, **more).fit(data, y)
        v, b = model.coef_, model.intercept_
    w = v / scaler.scale_
    b = b - w @ scaler.mean_
    show(name, np.column_stack([b, w]))
    return w, b


def newton(data, y, penalty, class_weight=None):
    """An independent maximiser (scipy), checked against scikit-learn on raw columns to its precision below."""
    from scipy.optimize import minimize

    classes = y.max() + 1
    k = 1 if classes == 2 else classes
    weight = np.ones(len(y))
    if class_weight == "balanced":
        weight = (len(y) / (classes * np.bincount(y)))[y]
    design = np.column_stack([np.ones(len(y)), data])

    def f(theta):
        t = theta.reshape(k, -1)
        s = design @ t.T
        if k == 1:
            s = np.column_stack([np.zeros(len(y)), s])
        p = scipy.special.softmax(s, axis=1)
        value = (weight * (scipy.special.logsumexp(s, axis=1) - s[np.arange(len(y)), y])).sum()
        value += 0.5 * (penalty * t[:, 1:] ** 2).sum()
        error = (p - np.eye(classes)[y]) * weight[:, None]
        g = (error[:, 1:] if k == 1 else error).T @ design
        g[:, 1:] += penalty * t[:, 1:]
        return value, g.ravel(), p

    theta = np.zeros(k * design.shape[1])
    for _ in range(100):
        _, g, p = f(theta)
        h = np.zeros((k, design.shape[1], k, design.shape[1]))
        for a in range(k):
            for b in range(k):
                pa, pb = (p[:, 1], p[:, 1]) if k == 1 else (p[:, a], p[:, b])
                h[a, :, b, :] = (design.T * (weight * pa * ((a == b) - pb))) @ design
                if a == b:
                    h[a, 1:, b, 1:] += np.diag(penalty)
        step = np.linalg.lstsq(h.reshape(len(theta), -1), g, rcond=1e-12)[0]
        theta -= step
        if abs(step).max() < 1e-14:
            break
    t = theta.reshape(k, -1)
    if k > 1:
        t = t - t.mean(0)
    return t[:, 1:], t[:, 0]


w, b = logistic("binary l2 1", bought, 1.0)
model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, bought)
print("  scikit-learn on raw columns differs by", float(abs(model.coef_ - w).max()))
probability = 1 / (1 + np.exp(-(x @ w[0] + b[0])))
show("  log loss, auc", [log_loss(bought, probability), roc_auc_score(bought, probability)])
show("  probabilities of the first rows", probability[:3])
logistic("binary l2 1 standardised", bought, 1.0, standardize=True)
logistic("binary l2 0", bought, 0.0)
logit = sm.Logit(bought, sm.add_constant(x)).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
show("  statsmodels", logit.params)
logistic("binary l2 1 balanced, standardised", bought, 1.0, standardize=True, class_weight="balanced")
w, b = logistic("three classes l2 1 standardised", tier, 1.0, standardize=True)
show("  probabilities of the first row", scipy.special.softmax(x @ w.T + b, axis=1)[0])
logistic("three classes l2 0", tier, 0.0)
logit = sm.MNLogit(tier, sm.add_constant(x)).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
t = np.column_stack([np.zeros(6), logit.params]).T
show("  statsmodels", t - t.mean(0))
show("class counts of bought and tier", [*np.bincount(bought), *np.bincount(tier)])

bayes = GaussianNB().fit(x, tier)
show("bayes priors", bayes.class_prior_)
show("bayes means of class 1", bayes.theta_[1])
show("bayes variances of class 1", bayes.var_[1])
show("bayes probabilities of the first two rows", bayes.predict_proba(x[:2]))
print("bayes classes", list(map(int, bayes.predict(x[:12]))))

k = KMeans(3, init=x[[0, 1, 2]], n_init=1, tol=0, max_iter=1000, algorithm="lloyd").fit(x)
show("kmeans centroids from rows 0, 1, 2", k.cluster_centers_)
show("kmeans inertia", [k.inertia_])
print("kmeans", k.n_iter_, list(map(int, np.bincount(k.labels_))), list(map(int, k.predict(x[:8]))))
data = scaler.transform(x)
k = KMeans(3, init=data[[0, 1, 2]], n_init=1, tol=1e-4, max_iter=1000, algorithm="lloyd").fit(data)
show("kmeans standardised, default tolerance: inertia", [k.inertia_])
show("kmeans standardised, best of 20: inertia", [KMeans(3, n_init=20, random_state=0, tol=0).fit(data).inertia_])
show("log loss of the confusion test", [log_loss([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.65])])
show(
    "area of the ties test",
    [roc_auc_score([0, 0, 1, 1, 1, 0], [0.1, 0.4, 0.35, 0.8, 0.4, 0.4], sample_weight=[1, 1, 1, 1, 2, 1])],
)
