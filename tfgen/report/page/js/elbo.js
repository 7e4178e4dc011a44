// elbo
